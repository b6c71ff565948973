"""Routes that come from a routing API, with tokens of a UAA (spec 3.12)."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, register
from .nats_server import RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import wait_for
from .routing_api_servers import RoutingAPIFixture, api_route

NEVER = "120s"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RoutingAPIFixture]:
    fixture = RoutingAPIFixture(str(tmp_path / "uaa.pem"))
    yield fixture
    fixture.close()


def start(servers: RoutingAPIFixture, start_gorouter: StartGorouter, **keys: Any) -> GorouterProcess:
    """A router that has subscribed, and has applied the list afterwards."""
    router = start_gorouter(**servers.keys(**{"prune_stale_droplets_interval": NEVER, **keys}))
    router.wait_until_started()
    router.wait_for_event("syncer-fetch-routes-completed")
    return router


def wait_for_addresses(router: GorouterProcess, uri: str, *addresses: str) -> None:
    wait_for(
        lambda: True if (router.addresses(uri) or []) == list(addresses) else None,
        f"{addresses} behind {uri}, there are {router.addresses(uri)}",
    )


class TestRoutes:
    def test_are_there_before_the_first_client_is(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        servers.api.routes = [api_route("app.test/path", serving.address, ttl=60)]
        router = start(servers, start_gorouter)
        assert router.status_of("app.test", "/path") == 200
        assert router.routes() == {
            "app.test/path": [
                {
                    "address": serving.address,
                    "availability_zone": "",
                    "protocol": "http1",
                    "tls": False,
                    "ttl": 60,
                    "tags": None,
                    "server_cert_domain_san": "log-guid",
                }
            ]
        }
        (line,) = router.events("endpoint-registered")[:1]
        assert line["data"]["modification_tag"] == {"guid": "guid", "index": 0}
        assert line["data"]["application_id"] == "log-guid"
        expected = [
            "setting-up-routing-api",
            "started-fetching-token",
            "syncer-started",
            "subscribing-to-routing-api-event-stream",
            "Successfully-subscribed-to-routing-api-event-stream",
        ]
        messages = router.messages()
        assert sorted(expected, key=messages.index) == expected

    def test_come_and_go_by_events(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        router = start(servers, start_gorouter)
        route = api_route("app.test", serving.address)
        servers.api.publish("Upsert", route)
        wait_for_addresses(router, "app.test", serving.address)
        wait_for(lambda: True if router.status_of("app.test") == 200 else None, "traffic")
        servers.api.publish("Rename", route)
        servers.api.publish("Delete", route)
        wait_for_addresses(router, "app.test")

    def test_are_refreshed_again_and_again(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        servers.api.routes = [api_route("old.test", serving.address), api_route("both.test", serving.address)]
        router = start(servers, start_gorouter, prune_stale_droplets_interval="100ms")
        wait_for_addresses(router, "old.test", serving.address)
        servers.api.routes = [api_route("both.test", serving.address), api_route("new.test", serving.address)]
        wait_for_addresses(router, "new.test", serving.address)
        wait_for_addresses(router, "old.test")
        assert router.addresses("both.test") == [serving.address]

    def test_one_that_no_header_could_carry_is_refused_alone(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        servers.api.routes = [
            api_route("bad.test", serving.address, log_guid="a\r\nb"),
            api_route("plain.test", serving.address, route_service_url="http://service.test"),
            api_route("good.test", serving.address, log_guid=None, route_service_url=None, ttl=None),
        ]
        router = start(servers, start_gorouter)
        assert list(router.routes()) == ["good.test"]
        assert {line["data"]["error"] for line in router.events("validation-error")} == {
            "Unable to validate message. app must be printable ASCII",
            "Unable to validate message. route_service_url must be https",
        }


class TestModificationTags:
    def test_order_what_the_api_says(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        router = start(servers, start_gorouter)
        servers.api.publish("Upsert", api_route("app.test", serving.address, index=5, ttl=50))
        servers.api.publish("Upsert", api_route("app.test", serving.address, index=4, ttl=40))
        servers.api.publish("Delete", api_route("app.test", serving.address, index=4))
        servers.api.publish("Upsert", api_route("last.test", serving.address))
        wait_for_addresses(router, "last.test", serving.address)
        assert [endpoint["ttl"] for endpoint in router.routes()["app.test"]] == [50]
        servers.api.publish("Upsert", api_route("app.test", serving.address, index=6, ttl=60))
        wait_for(lambda: router.routes()["app.test"][0]["ttl"] == 60 or None, "the later one")
        servers.api.publish("Delete", api_route("app.test", serving.address, index=7))
        wait_for_addresses(router, "app.test")

    def test_a_registration_over_nats_outweighs_any(
        self,
        servers: RoutingAPIFixture,
        start_gorouter: StartGorouter,
        nats: RawNatsClient,
        serving: AnsweringBackend,
    ) -> None:
        servers.api.routes = [api_route("app.test", serving.address, index=9)]
        router = start(servers, start_gorouter)
        register(nats, serving.address, "app.test", tags={"from": "nats"})
        wait_for(lambda: router.routes()["app.test"][0]["tags"] == {"from": "nats"} or None, "that of NATS")
        # And any of the API outweighs that again.
        servers.api.publish("Upsert", api_route("app.test", serving.address, index=1))
        wait_for(lambda: router.routes()["app.test"][0]["tags"] is None or None, "that of the API")


class TestFailuresThatDisturbNoRoute:
    def test_the_end_of_a_stream(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        servers.api.routes = [api_route("app.test", serving.address)]
        router = start(servers, start_gorouter)
        servers.api.routes.append(api_route("missed.test", serving.address))
        servers.api.disconnect()
        line = router.wait_for_event("failed-getting-next-event: ")
        assert line["data"] == {"error": "EOF"}
        assert router.addresses("app.test") == [serving.address]
        router.wait_for_events("Successfully-subscribed-to-routing-api-event-stream", 2)
        wait_for_addresses(router, "missed.test", serving.address)

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            (b"event: Upsert\ndata: {\n\n", "Input data was truncated"),
            (b'event: Upsert\ndata: {"port": 70000}\n\n', "Expected `int` <= 65535 - at `$.port`"),
        ],
    )
    def test_a_malformed_event(
        self,
        text: bytes,
        error: str,
        servers: RoutingAPIFixture,
        start_gorouter: StartGorouter,
        serving: AnsweringBackend,
    ) -> None:
        router = start(servers, start_gorouter)
        servers.api.send(text)
        assert router.wait_for_event("failed-getting-next-event: ")["data"] == {"error": error}
        router.wait_for_events("syncer-fetch-routes-completed", 2)
        servers.api.publish("Upsert", api_route("app.test", serving.address))
        wait_for_addresses(router, "app.test", serving.address)

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            ((500, b"out of order"), "out of order"),
            ((503, b'{"name":"DBCommunicationError","message":"no database"}'), "no database"),
            ((200, b'[{"route":"other.test"},'), "Input data was truncated"),
            ((200, b'[{"route":7}]'), "Expected `str`, got `int` - at `$[0].route`"),
        ],
    )
    def test_a_list_that_cannot_be_had(
        self,
        answer: tuple[int, bytes],
        error: str,
        servers: RoutingAPIFixture,
        start_gorouter: StartGorouter,
        serving: AnsweringBackend,
    ) -> None:
        servers.api.routes = [api_route("app.test", serving.address)]
        router = start(servers, start_gorouter, prune_stale_droplets_interval="100ms")
        servers.api.answers += [answer] * 2
        line = router.wait_for_event("failed-to-fetch-routes")
        assert line["data"] == {"error": error}
        assert router.addresses("app.test") == [serving.address]
        assert router.status_of("app.test") == 200
        servers.api.routes.append(api_route("later.test", serving.address))
        wait_for_addresses(router, "later.test", serving.address)

    def test_servers_that_are_gone_for_a_while(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        servers.api.routes = [api_route("app.test", serving.address)]
        router = start(
            servers,
            start_gorouter,
            prune_stale_droplets_interval="100ms",
            token_fetcher_max_retries=1,
            token_fetcher_expiration_buffer_time=3600,
        )
        servers.uaa.answers += [(503, b"closed")] * 2
        line = router.wait_for_event("failed-to-fetch-routes")
        assert line["data"] == {"error": "oauth2: cannot fetch token: 503 Service Unavailable\nResponse: closed"}
        retry = router.wait_for_event("retry-fetching-token")
        assert (retry["source"], retry["data"]) == ("gorouter.stdout.uaa-client", {"retry-count": 0})
        assert router.addresses("app.test") == [serving.address]
        servers.api.routes = []
        wait_for_addresses(router, "app.test")


class TestTokens:
    def test_are_asked_for_with_the_credentials(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        start(servers, start_gorouter)
        first = servers.uaa.asked[0]
        assert first.authorization == "Basic " + base64.b64encode(b"gorouter:s3cret%2F%2B").decode()
        assert parse_qs(first.body.decode()) == {"grant_type": ["client_credentials"], "token_format": ["jwt"]}
        # One for each of Gorouter's two clients; it is kept until shortly before its end.
        assert len(servers.uaa.asked) == 2
        assert [asked.authorization for asked in servers.api.asked] == ["bearer token-1"] + ["bearer token-2"] * 2

    def test_are_renewed_before_their_end(self, servers: RoutingAPIFixture, start_gorouter: StartGorouter) -> None:
        servers.uaa.lifetime = 30
        router = start(servers, start_gorouter, prune_stale_droplets_interval="100ms")
        router.wait_for_events("syncer-fetch-routes-completed", 3)
        tokens = [asked.authorization for asked in servers.api.asked]
        assert len(set(tokens)) == len(tokens)

    def test_one_that_is_refused_is_replaced(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        router = start(servers, start_gorouter)
        servers.api.refused = {"token-1", "token-2"}
        servers.api.routes = [api_route("app.test", serving.address)]
        servers.api.disconnect()
        line = router.wait_for_event("failed-subscribing-to-routing-api-event-stream")
        assert line["data"] == {"error": "unauthorized"}
        wait_for_addresses(router, "app.test", serving.address)
        assert servers.api.asked[-1].authorization == "bearer token-3"

    def test_a_list_is_asked_for_again_with_a_new_one(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, serving: AnsweringBackend
    ) -> None:
        router = start(servers, start_gorouter, prune_stale_droplets_interval="100ms")
        servers.api.routes = [api_route("app.test", serving.address)]
        servers.api.refused = {"token-1", "token-2"}
        wait_for_addresses(router, "app.test", serving.address)
        assert "failed-to-fetch-routes" not in router.messages()

    def test_none_are_asked_for_if_so_configured(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        router = start(servers, start_gorouter, routing_api={"auth_disabled": True}, oauth={"port": 0})
        assert "using-noop-token-fetcher" in router.messages()
        assert servers.uaa.asked == []
        assert {asked.authorization for asked in servers.api.asked} == {"bearer "}

    def test_any_certificate_will_do_if_so_configured(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        start(servers, start_gorouter, oauth={"ca_certs": "", "skip_ssl_validation": True})
        assert servers.uaa.tokens == 2


class TestStartsThatFail:
    def fails(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, message: str, **keys: Any
    ) -> tuple[GorouterProcess, str]:
        """Return the router, which has ended, and the error of its last word."""
        router = start_gorouter(**servers.keys(token_fetcher_max_retries=1, **keys))
        assert router.wait() == 1
        line = router.events(message)[-1]
        assert line["log_level"] == 3
        assert router.events()[-1]["message"] == message
        error: str = line["data"]["error"]
        return router, error

    def test_without_a_port_of_the_uaa(self, servers: RoutingAPIFixture, start_gorouter: StartGorouter) -> None:
        router, error = self.fails(servers, start_gorouter, "initialize-uaa-client", oauth={"port": 0})
        assert error == "tls-not-enabled: UAA client requires TLS enabled"
        assert router.events("Failed to create UAA client")[0]["data"] == {"error": error}

    def test_without_the_authorities_of_the_uaa(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter, tmp_path: Path
    ) -> None:
        absent, empty = tmp_path / "absent.pem", tmp_path / "empty.pem"
        empty.touch()
        _, error = self.fails(servers, start_gorouter, "initialize-uaa-client", oauth={"ca_certs": str(absent)})
        assert error == f"Failed to read ca cert file: open {absent}: no such file or directory"
        _, error = self.fails(servers, start_gorouter, "initialize-uaa-client", oauth={"ca_certs": str(empty)})
        assert error == "Unable to load caCert"

    def test_without_credentials(self, servers: RoutingAPIFixture, start_gorouter: StartGorouter) -> None:
        _, error = self.fails(servers, start_gorouter, "routing-api-connection-failed", oauth={"client_secret": ""})
        assert error == ("unable-to-fetch-token: your configuration provides no way for go-uaa to get a token")

    def test_with_credentials_that_are_refused(self, servers: RoutingAPIFixture, start_gorouter: StartGorouter) -> None:
        servers.uaa.answers += [(401, b'{"error":"unauthorized","error_description":"Bad credentials"}')] * 2
        router, error = self.fails(servers, start_gorouter, "routing-api-connection-failed")
        assert error == 'unable-to-fetch-token: oauth2: "unauthorized" "Bad credentials"'
        assert len(router.events("error-fetching-token")) == 2

    def test_when_the_uaa_goes_between_two_tokens(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        servers.uaa.answers += [(200, b'{"access_token":"a"}'), *[(302, b"elsewhere")] * 2]
        _, error = self.fails(servers, start_gorouter, "unable-to-fetch-token")
        assert error == "oauth2: cannot fetch token: 302 Found\nResponse: elsewhere"

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (b"{}", "oauth2: server response missing access_token"),
            (b"token", "oauth2: cannot parse json: JSON is malformed: invalid character (byte 4)"),
        ],
    )
    def test_with_a_response_without_a_token(
        self, answer: bytes, error: str, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        servers.uaa.answers += [(200, answer)] * 2
        _, found = self.fails(servers, start_gorouter, "routing-api-connection-failed")
        assert found == f"unable-to-fetch-token: {error}"

    def test_when_the_routing_api_cannot_be_reached(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        servers.api.close()
        _, error = self.fails(servers, start_gorouter, "routing-api-connection-failed")
        port = servers.api.port
        assert error == (
            f'Get "https://localhost:{port}/routing/v1/routes": dial tcp localhost:{port}: connection refused'
        )

    def test_when_the_routing_api_is_not_who_it_says(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        _, error = self.fails(
            servers, start_gorouter, "routing-api-connection-failed", routing_api={"ca_certs": servers.clients.pem}
        )
        assert "certificate verify failed" in error
        assert servers.api.asked == []

    def test_when_the_router_is_not_who_it_should_be(
        self, servers: RoutingAPIFixture, start_gorouter: StartGorouter
    ) -> None:
        stranger = servers.authority.pair("router")
        self.fails(
            servers,
            start_gorouter,
            "routing-api-connection-failed",
            routing_api={"cert_chain": stranger.chain, "private_key": stranger.key},
        )
        assert servers.api.asked == []

    def test_when_the_token_is_refused(self, servers: RoutingAPIFixture, start_gorouter: StartGorouter) -> None:
        servers.api.refused = {"token-1"}
        _, error = self.fails(servers, start_gorouter, "routing-api-connection-failed")
        assert error == "unauthorized"
