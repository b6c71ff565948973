"""Error pages, in the bytes that Go's html/template would write, and refusals of what is not supported."""

from collections.abc import Mapping

import pytest

from fastrouter.gotemplate.error_template import ErrorTemplate
from fastrouter.gotemplate.parser import ErrorTemplateError
from fastrouter.gotemplate.values import ExecutionError

HEADER = {"X-Cf-Routererror": "unknown_route", "Cache-Control": "no-cache, no-store"}
NASTY = """<b> & "z" 'q' + \0"""


def page(template: str, message: str = NASTY, *, status: int = 404, header: Mapping[str, str] = HEADER) -> str:
    return ErrorTemplate(template).render(status, "Not Found", message, header).decode()


def refusal(template: str) -> str:
    with pytest.raises(ErrorTemplateError) as caught:
        ErrorTemplate(template)
    return str(caught.value)


@pytest.mark.parametrize(("opening", "closing"), [("{{if true}}", "{{end}}"), ("(", ")")])
def test_bottomless(opening: str, closing: str) -> None:
    text = opening * 50_000 + closing * 50_000
    assert "too deeply" in refusal(text if opening.startswith("{") else f"{{{{ len {text} }}}}")


def test_gorouters_own_example() -> None:
    message = "Requested route ('not-host') does not exist."
    assert page("<html><body>{{ .Message }}</body></html>", message) == (
        "<html><body>Requested route (&#39;not-host&#39;) does not exist.</body></html>"
    )


def test_nothing_is_added() -> None:
    assert page("") == ""
    assert page("é\r\n") == "é\r\n"


class TestFields:
    def test_all_there_are(self) -> None:
        assert page("{{.Status}}|{{.StatusText}}|{{.Message}}", "m") == "404|Not Found|m"

    @pytest.mark.parametrize("name", ["X-Cf-RouterError", "x-cf-routererror", "X-CF-ROUTERERROR"])
    def test_a_header_in_any_case(self, name: str) -> None:
        assert page(f'{{{{.Header.Get "{name}"}}}}') == "unknown_route"

    def test_names_of_the_response_in_any_case(self) -> None:
        assert page('{{.Header.Get "X-A"}}', header={"x-a": "1"}) == "1"

    def test_a_header_that_is_not_there(self) -> None:
        assert page('[{{.Header.Get "X-None"}}{{.Header.Values "X-None" | len}}]') == "[0]"

    def test_the_headers_as_go_prints_a_map(self) -> None:
        assert page("{{.Header}}") == "map[Cache-Control:[no-cache, no-store] X-Cf-Routererror:[unknown_route]]"

    @pytest.mark.parametrize(
        "template",
        [
            "{{.Nope}}",
            "{{.Message.Nope}}",
            "{{.Header.Get}}",
            "{{.Header.Get 1}}",
            '{{.Message "x"}}',
            '{{eq .Status "404"}}',
            "{{eq .Header .Header}}",
            "{{lt true false}}",
            "{{index .Message 0}}",
            '{{index (.Header.Values "X-None") 0}}',
            "{{range .Status}}{{end}}",
            '{{printf "%d" .Message}}',
            '{{printf "%d"}}',
        ],
    )
    def test_what_go_finds_out_only_now(self, template: str) -> None:
        with pytest.raises(ExecutionError):
            page(template)


class TestActions:
    @pytest.mark.parametrize(("status", "text"), [(404, "a"), (503, "a"), (502, "b"), (400, "c")])
    def test_if(self, status: int, text: str) -> None:
        template = "{{if eq .Status 404 503}}a{{else if eq .Status 502}}b{{else}}c{{end}}"
        assert page(template, status=status) == text

    @pytest.mark.parametrize(
        ("condition", "is_true"),
        [
            ("0", False),
            ("1", True),
            ('""', False),
            ("``", False),
            ("`x`", True),
            ("false", False),
            ("true", True),
            (".", True),
            (".Header", True),
            ('.Header.Values "X-None"', False),
            ("ne .Status 404", False),
            ("not .Message", False),
            ("and .Status .Message", True),
            ("and .Status ``", False),
            ("or `` 0", False),
            ("or `` .Status", True),
            # It decides at the first argument; the second cannot be evaluated.
            ("or .Status .Nope", True),
            ("and 0 .Nope", False),
            ("and (ge .Status 400) (lt .Status 500)", True),
            ("gt .Status 404 | or (le .Status 403)", False),
            ("eq (len `äö`) 4", True),
            ("eq 0x10 16", True),
            ("eq -3 -3", True),
        ],
    )
    def test_what_is_true(self, condition: str, is_true: bool) -> None:
        assert page(f"{{{{if {condition}}}}}yes{{{{else}}}}no{{{{end}}}}") == ("yes" if is_true else "no")

    def test_with(self) -> None:
        template = '{{with .Header.Get "%s"}}[{{.}} {{$.Status}}]{{else}}none {{.Status}}{{end}}'
        assert page(template % "X-Cf-RouterError") == "[unknown_route 404]"
        assert page(template % "X-None") == "none 404"

    def test_range(self) -> None:
        assert page("{{range $name, $values := .Header}}{{$name}}={{index $values 0}};{{else}}none{{end}}") == (
            "Cache-Control=no-cache, no-store;X-Cf-Routererror=unknown_route;"
        )
        assert page("{{range $values := .Header}}{{len $values}}{{end}}") == "11"
        assert page("{{range .Header}}{{range $at, $value := .}}{{$at}}{{$value}},{{end}}{{end}}") == (
            "0no-cache, no-store,0unknown_route,"
        )
        assert page("{{range .Header}}{{.}}{{else}}none{{end}}", header={}) == "none"

    def test_variables(self) -> None:
        assert page("{{$x := 1}}{{if .Status}}{{$x = 2}}{{$y := 3}}{{$x}}{{$y}}{{end}}{{$x}}") == "232"
        assert page("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}") == "21"
        assert page("{{if $x := .StatusText}}{{$x}}{{end}}") == "Not Found"
        assert page("{{with $h := .Header}}{{$h.Get `Cache-Control`}}{{end}}") == "no-cache, no-store"

    def test_comments_and_trims(self) -> None:
        assert page("a  {{- /* }} {{ \n */ -}} \n b {{/* x */}} c {{- 1 -}} d{{- ` x ` }}") == "ab  c1d x "

    def test_an_action_may_have_several_lines(self) -> None:
        assert page("{{\n  print\n  .Status  \n| len\n}}") == "3"

    def test_texts(self) -> None:
        assert page(r"""{{ "\x41\t\u00e9\"\101\U0001F600" }}{{ `\n` }}""") == "A\té&#34;A😀\\n"

    def test_functions(self) -> None:
        assert page("{{print 1 2 `x` 3 true}}") == "1 2x3 true"
        assert page('{{printf "%s: %d%% %v" .StatusText .Status true}}') == "Not Found: 404% true"
        # It would be escaped anyway, and is not twice.
        assert page("{{.Message | html}}", "<") == "&lt;"


class TestPlaces:
    """Where a value stands decides how it is escaped."""

    def test_text_and_quoted_attributes(self) -> None:
        escaped = "&lt;b&gt; &amp; &#34;z&#34; &#39;q&#39; &#43; \ufffd"
        assert page("<p title='{{.Message}}' alt=\"{{.Message}}\">{{.Message}}</p>") == (
            f"<p title='{escaped}' alt=\"{escaped}\">{escaped}</p>"
        )

    def test_elements_whose_contents_are_text(self) -> None:
        assert page("<title>{{.Message}} < {{.Status}}</title>{{.Message}}", "</title>") == (
            "<title>&lt;/title&gt; &lt; 404</title>&lt;/title&gt;"
        )

    def test_unquoted_attributes(self) -> None:
        assert page("<p class={{.Message}} id=a{{.Message}}>", "a b=`'\n") == (
            "<p class=a&#32;b&#61;&#96;&#39;&#10; id=aa&#32;b&#61;&#96;&#39;&#10;>"
        )
        assert page("<p class={{.Message}}>", "") == "<p class=ZgotmplZ>"

    @pytest.mark.parametrize(
        ("template", "message", "url"),
        [
            ("{{.Message}}", "https://a.test/x?y=1&z", "https://a.test/x?y=1&amp;z"),
            ("{{.Message}}", "/a b", "/a%20b"),
            ("{{.Message}}", "MAILTO:me@a.test", "MAILTO:me@a.test"),
            ("{{.Message}}", "javascript:alert(1)", "#ZgotmplZ"),
            ("{{.Message}}", " javascript:alert(1)", "#ZgotmplZ"),
            ("{{.Message}}", "data:text/html,x", "#ZgotmplZ"),
            ("{{`java`}}{{.Message}}", "script:alert(1)", "java#ZgotmplZ"),
            ("java{{.Message}}", "script:alert(1)", "javascript%3Aalert%281%29"),
            ("/a/{{.Message}}", "b:c/'d'", "/a/b:c/%27d%27"),
            ("/a?b={{.Message}}", "c&d=/'", "/a?b=c%26d%3D%2F%27"),
            ("#{{.Message}}", "c&d", "#c%26d"),
        ],
    )
    def test_urls(self, template: str, message: str, url: str) -> None:
        for attribute in ("href", "data-href", "xlink:href", "action"):
            assert page(f'<a {attribute}="{template}">', message) == f'<a {attribute}="{url}">'

    @pytest.mark.parametrize(
        ("script", "written"),
        [
            ("x = {{.Message}};", 'x = "\\u003c\\u002fscript\\u003e\\u0022\\u0027";'),
            ("x = 'a{{.Message}}'", "x = 'a\\u003c\\u002fscript\\u003e\\u0022\\u0027'"),
            ('x = "\\"{{.Message}}"', 'x = "\\"\\u003c\\u002fscript\\u003e\\u0022\\u0027"'),
            ("x = {{.Status}} / 2 / {{eq 1 1}}", "x =  404  / 2 /  true "),
            ("x = /'[/']/.test({{.Message}})", "x = /'[/']/.test(\"\\u003c\\u002fscript\\u003e\\u0022\\u0027\")"),
            ("// it's {{.Message}}\nx = {{.Status}}", "// it's \nx =  404 "),
            ("/* it's {{.Message}} */ x = {{.Status}}", "/* it's  */ x =  404 "),
        ],
    )
    def test_scripts(self, script: str, written: str) -> None:
        assert page(f"<script>{script}</script>", "</script>\"'") == f"<script>{written}</script>"

    def test_characters_beyond_16_bits_in_scripts(self) -> None:
        assert page("<script>x = {{.Message}}</script>", "😀") == '<script>x = "\\ud83d\\ude00"</script>'

    def test_scripts_in_attributes(self) -> None:
        assert page("""<a onclick='f({{.Message}}, "{{.Message}}")'>""", "'\"") == (
            """<a onclick='f(&#34;\\u0027\\u0022&#34;, "\\u0027\\u0022")'>"""
        )
        assert page('<a onclick="f(&quot;{{.Message}}&quot;)">', "'") == '<a onclick="f(&quot;\\u0027&quot;)">'

    @pytest.mark.parametrize(
        ("message", "written"),
        [
            ("red", "red"),
            ("#f00", "#f00"),
            ("1.5em 2%", "1.5em 2%"),
            ("red;}", "ZgotmplZ"),
            ("</style>", "ZgotmplZ"),
            ("expression 1", "ZgotmplZ"),
            ("url(x)", "ZgotmplZ"),
            ("a--b", "ZgotmplZ"),
        ],
    )
    def test_styles(self, message: str, written: str) -> None:
        assert page("<style>p { color: {{.Message}} }</style>", message) == f"<style>p {{ color: {written} }}</style>"
        assert page("<p style='color: {{.Message}}'>", message) == f"<p style='color: {written}'>"

    def test_pages_in_attributes_are_escaped_twice(self) -> None:
        assert page("<iframe srcdoc='{{.Message}}'></iframe>", "<") == "<iframe srcdoc='&amp;lt;'></iframe>"

    def test_comments_are_left_out_and_stray_brackets_are_entities(self) -> None:
        assert page("<!DOCTYPE html><!-- {{.Message}} --><p>1 < 2 <{{.Status}}></p>") == (
            "<!DOCTYPE html><p>1 &lt; 2 &lt;404></p>"
        )

    def test_conditions_within_tags(self) -> None:
        template = "<option{{if eq .Status %s}} selected{{end}} class='{{if .Status}}a{{else}}b{{end}}'>"
        assert page(template % 404) == "<option selected class='a'>"
        assert page(template % 502) == "<option class='a'>"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("\n\n{{template `x`}}", "line 3: {{template}} is not supported"),
        ("{{define `x`}}{{end}}", "line 1: {{define}} is not supported"),
        ("{{block `x` .}}{{end}}", "line 1: {{block}} is not supported"),
        ("{{range .Header}}{{break}}{{end}}", "line 1: {{break}} is not supported"),
        ("{{urlquery .Message}}", 'line 1: function "urlquery" is not supported'),
        ("{{1.5}}", "line 1: '1.5' is no whole number"),
        ("{{.Status", "line 1: unclosed action"),
        ("{{.Status}", "line 1: unexpected '}' in action"),
        ("{{}}", "line 1: missing value for command"),
        ("{{if}}{{end}}", "line 1: missing value for command"),
        ("{{.Status |}}", "line 1: missing value for command"),
        ("{{if .Status}}", "line 1: {{if}} without {{end}}"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "line 1: {{if}} without {{end}}"),
        ("{{with 1}}{{else if 2}}{{end}}", "line 1: unexpected words behind {{else}} of {{with}}"),
        ("{{end}}", "line 1: unexpected {{end}}"),
        ("{{else}}", "line 1: unexpected {{else}}"),
        ("{{end 1}}", "line 1: unexpected {{end}}"),
        ("{{$x}}", 'line 1: undefined variable "$x"'),
        ("{{$x = 1}}", 'line 1: undefined variable "$x"'),
        ("{{if true}}{{$x := 1}}{{end}}{{$x}}", 'line 1: undefined variable "$x"'),
        ("{{$x, $y := 1}}", "line 1: two variables are for range only"),
        ("{{(1}}", "line 1: unclosed left paren"),
        ("{{1)}}", "line 1: unexpected ')'"),
        ("{{1 2}}", "line 1: can't give argument to non-function 1"),
        ("{{not 1 2}}", "line 1: wrong number of args for not"),
        ("{{`a`.B}}", "line 1: unexpected '.B' behind '`a`'"),
        (r'{{"\q"}}', "line 1: '\\\\q' is no escape of a string"),
        # The place of the value is ambiguous, or the value could change the structure of the page.
        ("<{{if 1}}a{{end}} href='x'>", ""),
        ("<p {{.Message}}>", "line 1: a value cannot be part of the name"),
        ("<p on{{.Message}}='x'>", "line 1: a value cannot be part of the name"),
        ("<p{{.Message}}>", "line 1: a value cannot be part of the name"),
        ("<p{{if 1}} on{{end}}click='{{.Message}}'>", "line 1: a name of a tag or of an attribute that depends"),
        ("{{if 1}}<p title='{{end}}{{.Message}}'>", "line 1: the ways of a condition end in different places"),
        ("{{range .Header}}<script>{{end}}", "line 1: the ways of a condition end in different places"),
        ("<a href='/{{range .Header}}?{{end}}'>", "line 1: a turn of a range begins in one place"),
        ("<a href='/{{if 1}}?{{end}}{{.Message}}'>", "line 1: a value stands where, by a condition, a URL"),
        ("<script>`{{.Message}}`</script>", "line 1: a value cannot stand in a template literal"),
        ("<script>/{{.Message}}/</script>", "line 1: a value cannot stand in a template literal or in a regular"),
        ("<p title='", "the template ends within a tag"),
        ("<script>", "the template ends within a tag"),
        ("<!-- ", "the template ends within a tag, a comment"),
        ("<p 'x'>", "line 1: ' where the name of an attribute should be"),
    ],
)
def test_what_is_refused(template: str, text: str) -> None:
    if text:
        assert text in refusal(template)
    else:
        assert page(template) == "&lt;a href='x'>"


def test_a_message_that_is_no_text_is_replaced() -> None:
    assert page("{{.Message}}", "a\udcffb") == "a?b"
