"""The identity platform as a process: started, driven, stopped and started again."""

from __future__ import annotations

from pathlib import Path

import httpx

from deploy.demo.identity import credentials
from tests.integration.demo.processes import free_ports, running


def test_identity_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    port, intake, recovery, audit = free_ports(4)
    url = f"http://127.0.0.1:{port}"
    secret_file = tmp_path / "client-secret"
    secret_file.write_text("from-a-file\n")
    settings = {
        "READMIT_DEMO_DIR": str(tmp_path / "demo"),
        "READMIT_DEMO_IDENTITY_PORT": str(port),
        "READMIT_DEMO_PUBLIC_URL": url,
        "READMIT_DEMO_INTAKE_URL": f"http://127.0.0.1:{intake}",
        "READMIT_DEMO_RECOVERY_URL": f"http://127.0.0.1:{recovery}",
        "READMIT_DEMO_AUDIT_URL": f"http://127.0.0.1:{audit}",
        "READMIT_IDENTITY_AUDIENCE": url,
        "READMIT_OIDC_CLIENT_ID": "console",
        "READMIT_OIDC_CLIENT_SECRET_FILE": str(secret_file),
    }
    log = tmp_path / "log"
    with running("deploy.demo.identity", url, log, **settings), httpx.Client(base_url=url, trust_env=False) as browser:
        keys = browser.get("/.well-known/jwks.json").json()
        _, people = credentials(tmp_path / "demo", url)
        form = {"email": people["expert"]["email"], "password": people["expert"]["password"]}
        assert browser.post("/", data=form).headers["location"] == "/home"
        cookies = dict(browser.cookies)
    with running("deploy.demo.identity", url, log, **settings), httpx.Client(base_url=url, trust_env=False) as browser:
        assert browser.get("/.well-known/jwks.json").json() == keys
        browser.cookies.update(cookies)
        assert "Bruno Kompass" in browser.get("/home").text
        assert credentials(tmp_path / "demo", url)[1] == people
    written = log.read_text()
    assert people["expert"]["password"] not in written
    assert "bruno.kompass" not in written
    for path in (tmp_path / "demo").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
