"""Whatever a message holds, it stays in its place in the page."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from fastrouter.gotemplate.error_template import ErrorTemplate

# What a page could be broken with is drawn more often than other characters.
message = st.text(st.sampled_from("<>\"'&+/\\=`;:()-!\n\0{}aA% ") | st.characters(exclude_categories=["Cs"]))


class Reader(HTMLParser):
    """What a browser finds: tags with their attributes, and texts."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def read(template: str, message: str) -> Reader:
    return Reader(ErrorTemplate(template).render(404, "Not Found", message, {}))


def shown(message: str) -> str:
    return message.replace("\0", "\ufffd")


@given(message)
def test_in_text_and_attributes_it_is_itself(message: str) -> None:
    reader = read("<p title='{{.Message}}' lang=\"{{.Message}}\">{{.Message}}</p>", message)
    assert reader.tags == [("p", [("title", shown(message)), ("lang", shown(message))])]
    assert reader.text == shown(message)


# Python's parser takes all that Python calls white space for a gap between attributes; HTML does not.
@given(message.filter(lambda text: not any(char.isspace() and char not in " \t\n\f\r" for char in text)))
def test_without_quotes_it_is_one_attribute(message: str) -> None:
    reader = read("<p title={{.Message}} lang=en>", message)
    assert reader.tags == [("p", [("title", shown(message) or "ZgotmplZ"), ("lang", "en")])]


@given(message)
def test_in_urls_there_is_no_other_scheme(message: str) -> None:
    ((_, ((_, url),)),) = read("<a href='{{.Message}}'>", message).tags
    assert url is not None
    scheme, colon, _ = url.partition(":")
    assert not colon or "/" in scheme or scheme.lower() in ("http", "https", "mailto")


@given(message)
def test_in_scripts_and_styles_nothing_ends(message: str) -> None:
    template = "<script>x = '{{.Message}}' + {{.Message}}</script><style>p { color: {{.Message}} }</style><p>end</p>"
    page = ErrorTemplate(template).render(404, "Not Found", message, {}).decode()
    start, end = page.index("x = '") + 5, page.index("</script>")
    script = page[start:end]
    assert script.count("'") == 1
    assert script.count('"') == 2
    assert not set(script) & set("<>&\n\u2028")
    assert page.endswith("</style><p>end</p>")
    style = page[page.index("color: ") + 7 : page.index(" }</style>")]
    assert not set(style) & set("<>{}();:\\'\"\n")
