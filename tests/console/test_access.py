"""Who may look at the page, and whose forms are taken."""

import http.client
from urllib.parse import urlencode, urlsplit

import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.console.access import TOKEN, Access, read_token
from sightline.errors import UsageError

SECRET = "0123456789abcdef0123456789abcdef"


def asked(url, path="/", *, method="GET", body=None, **headers):
    """(status, headers, text) of one request, sent with exactly these headers."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, body=None if body is None else urlencode(body), headers=named)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def controls(run):
    return list((run / "controls").glob("*.json"))


def test_an_address_that_others_reach_needs_a_token():
    with pytest.raises(UsageError, match="token"):
        Access.of(host="0.0.0.0", token=None)
    assert Access.of(host="0.0.0.0", token=SECRET).token == SECRET
    assert Access.of(host="127.0.0.1", token=None).token is None


def test_a_short_token_is_refused_and_not_repeated():
    with pytest.raises(UsageError) as found:
        Access.of(host="127.0.0.1", token="abc123")
    assert "abc123" not in str(found.value)


def test_the_token_comes_from_the_file_or_the_environment_and_has_no_default(tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN, SECRET)
    assert read_token(None) == SECRET
    (tmp_path / "token").write_text("of-the-file-0123456789\n")
    assert read_token(tmp_path / "token") == "of-the-file-0123456789"
    assert SECRET not in repr(Access.of(host="::1", token=SECRET))


def test_without_the_token_there_is_neither_page_nor_picture_nor_form(serve, open_run):
    url = serve(open_run, token=SECRET)
    for path in ("/", "/live", "/why/00", "/camera/east", "/nothing"):
        status, _, text = asked(url, path)
        assert status == 401, path
        assert "sat-001" not in text
    form = {"control": "acknowledge", "subject": "sat-001"}
    assert asked(url, "/input", method="POST", body=form)[0] == 401
    assert controls(open_run) == []


def test_the_token_in_the_header_is_enough_and_a_wrong_one_is_not(serve, fleet_run):
    url = serve(fleet_run, token=SECRET)
    assert asked(url, Authorization=f"Bearer {SECRET}")[0] == 200
    assert asked(url, Authorization=f"Bearer {SECRET[:-1]}0")[0] == 401
    assert asked(url, Cookie=f"sightline={SECRET}")[0] == 401


def test_the_token_is_never_printed(serve, fleet_run, capfd):
    url = serve(fleet_run, token=SECRET)
    asked(url, Authorization=f"Bearer {SECRET}")
    asked(url, "/token", method="POST", body={"token": SECRET})
    assert capfd.readouterr() == ("", "")


def test_a_name_that_somebody_else_points_here_is_turned_away(serve, fleet_run):
    url = serve(fleet_run)
    assert asked(url, Host="evil.example:8765")[0] == 403
    assert asked(url, Host="localhost:8765")[0] == 200


@pytest.mark.parametrize(
    "form", [{}, {"form_key": "guessed"}], ids=["no key", "a key of somebody else"]
)
def test_a_form_of_another_page_is_not_taken(serve, open_run, form):
    given = {"control": "acknowledge", "subject": "sat-001", "code": "SILENT", **form}
    assert asked(serve(open_run), "/input", method="POST", body=given)[0] == 403
    assert controls(open_run) == []


def test_a_page_may_do_nothing_that_did_not_come_with_it(serve, fleet_run):
    _, headers, text = asked(serve(fleet_run))
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'nonce-")
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_form_that_is_too_large_is_refused_unread(serve, open_run):
    url = serve(open_run)
    status, _, _ = asked(url, "/input", method="POST", body={"reason": "x" * 20_000})
    assert status == 413


def test_the_command_refuses_to_listen_to_others_without_a_token(fleet_run, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    arguments = ["serve", str(fleet_run), "--host", "0.0.0.0"]
    done = CliRunner().invoke(app_for(arguments), arguments)
    assert isinstance(done.exception, UsageError)
    assert "--token-file" in done.exception.action
