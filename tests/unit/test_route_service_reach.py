import pytest

from fastrouter.route_services.reach import EgressBlockList, HairpinHosts


class TestHairpinHosts:
    def test_an_empty_list_allows_every_host(self) -> None:
        assert HairpinHosts().is_allowed("any.test")

    @pytest.mark.parametrize("host", ["rs.apps.test", "RS.Apps.Test", "a.wild.test", "A.WILD.test", "*.wild.test"])
    def test_allowed(self, host: str) -> None:
        assert HairpinHosts(["rs.Apps.test", "*.Wild.test"]).is_allowed(host)

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "apps.test",
            "x.rs.apps.test",
            "rs.apps.test.evil.test",
            "rsxapps.test",
            "wild.test",
            ".wild.test",
            "a.b.wild.test",
            "awild.test",
        ],
    )
    def test_not_allowed(self, host: str) -> None:
        assert not HairpinHosts(["rs.apps.test", "*.wild.test"]).is_allowed(host)


class TestEgressBlockList:
    NETWORKS = ("10.0.0.0/8", "192.168.1.77/24", "169.254.169.254", "fd00::/8", "::1")

    @pytest.mark.parametrize(
        "ip",
        [
            "10.0.0.0",
            "10.255.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "fd12:3456::1",
            "fd00::1%eth0",
            "::1",
            "::ffff:10.1.2.3",
            "::ffff:a01:203",
        ],
    )
    def test_blocked(self, ip: str) -> None:
        assert EgressBlockList(self.NETWORKS).is_blocked(ip)

    @pytest.mark.parametrize("ip", ["11.0.0.0", "9.255.255.255", "192.168.2.1", "169.254.169.253", "fe80::1", "::2"])
    def test_not_blocked(self, ip: str) -> None:
        assert not EgressBlockList(self.NETWORKS).is_blocked(ip)

    def test_an_empty_list_blocks_nothing(self) -> None:
        assert not EgressBlockList([]).is_blocked("10.0.0.1")

    def test_what_is_no_address_is_blocked(self) -> None:
        assert EgressBlockList(["10.0.0.0/8"]).is_blocked("rs.test")

    def test_what_is_no_network_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
            EgressBlockList(["10.0.0.0/33"])
