"""Test that HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE lead `serve` and `doctor` to Stripe, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from payment_service.config.egress import proxy_for, require_authorities
from payment_service.provider.port import Transient
from payment_service.provider.stripe.adapter import Stripe
from tests.support.certificates import Authority, Certificate
from tests.support.command import failed_check, run
from tests.support.flows import config_for
from tests.support.provider_calls import create_call
from tests.support.proxy import BASE, HOST, Proxy
from tests.support.shop import Shop

LOGIN = "user:hunter22"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Certificate]:
    authority = Authority.make(tmp_path_factory.mktemp("egress") / "authority")
    return authority, authority.issue("stripe", f"DNS:{HOST}")


@pytest.fixture
def proxy(shop: Shop, certificates: tuple[Authority, Certificate]) -> Iterator[Proxy]:
    port = urlsplit(shop.sandbox.base_url).port
    assert port
    with Proxy(certificates[1], port, login=LOGIN) as opened:
        yield opened


def environment(proxy: Proxy, authority: Authority, folder: Path) -> dict[str, str]:
    """Return variables of a host that reaches the internet by the proxy alone. A key in ~/.netrc is not ours."""
    (folder / ".netrc").write_text("default login somebody password else\n")
    (folder / ".netrc").chmod(0o600)
    names = {"HTTPS_PROXY": proxy.url, "NO_PROXY": "127.0.0.1,localhost", "HOME": str(folder)}
    return {**names, "SSL_CERT_FILE": str(authority.certificate), "STRIPE_API_BASE": BASE}


def test_orders_reach_stripe_by_the_proxy(
    shop: Shop, proxy: Proxy, certificates: tuple[Authority, Certificate], tmp_path: Path
) -> None:
    env = environment(proxy, certificates[0], tmp_path)
    service = shop.serve(**env)
    shop.order("o-1")
    shop.pay("o-1")
    shop.wait_status("succeeded")
    assert set(proxy.seen) == {f"CONNECT {HOST}:443 HTTP/1.1"}
    report = run("doctor", env={**service.env})
    assert [line for line in report.stdout.splitlines() if line.startswith("ok      stripe key")], report.stdout
    shop.wait_quiet()
    shop.check()


def test_doctor_names_a_proxy_that_refuses(
    service_env: dict[str, str], proxy: Proxy, certificates: tuple[Authority, Certificate], tmp_path: Path
) -> None:
    env = {**service_env, **environment(proxy, certificates[0], tmp_path)}
    proxy.status = 403
    report = run("doctor", env=env)
    line = failed_check(report, "stripe")
    assert "403" in line
    assert "HTTPS_PROXY" in line
    assert "hunter22" not in report.stdout + report.stderr


async def test_a_proxy_that_refuses_leaves_no_outcome_unknown(
    certificates: tuple[Authority, Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opened no tunnel, so the request was not sent, and may be sent again at once."""
    with Proxy(certificates[1], 9, status=503) as refusing:
        monkeypatch.setenv("HTTPS_PROXY", refusing.url)
        provider = Stripe(config_for("postgresql://x@127.0.0.1:9/x", BASE), now_s=lambda: 0.0)
        call = create_call(provider)
        assert await provider.send(call) == Transient(code="not_connected:proxy_503", retry_after_s=0)
        await provider.close()


def test_no_proxy_and_both_spellings_are_honored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for(BASE) is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    assert proxy_for(BASE) == "http://proxy:3128"
    assert proxy_for("http://sandbox:12111") is None
    monkeypatch.setenv("https_proxy", "http://other:3128")
    assert proxy_for(BASE) == "http://other:3128"
    monkeypatch.setenv("NO_PROXY", ".stripe.test")
    assert proxy_for(BASE) is None


@pytest.mark.parametrize("value", ["https://proxy:3128", "socks5://proxy:1080", "http://proxy/path"])
def test_another_proxy_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY must be http://host:port"):
        proxy_for(BASE)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_missing_authorities_stop_the_start(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    """OpenSSL would trust nobody, and say so only at the first call."""
    monkeypatch.setenv(name, str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=name):
        require_authorities()
