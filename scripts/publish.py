"""Publishes out/package.zip to the function app as it is: Azure builds and installs nothing.

The Azure CLI's own command always builds Python apps for Flex Consumption in Azure, perhaps for
another Python. This sends the zip to the same address with the CLI's login, then waits for the
outcome. It needs Python and the Azure CLI only.
"""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

# A new app's role on its storage can take half an hour to work.
ATTEMPTS = 20
SECONDS_BETWEEN_ATTEMPTS = 90
# Without a build, a deployment takes seconds.
POLLS = 120
SECONDS_BETWEEN_POLLS = 5
# The longest wait for one answer, in seconds; the zip has some ten megabytes.
TIMEOUT = 300

# As PublishStatus of Azure/azure-dev, cli/azd/pkg/azsdk/funcapp_host_client.go.
SUCCESS = 4
ENDED = {-1: "was cancelled", 3: "failed", 5: "met another deployment", 6: "succeeded in part"}

# Answers that a later attempt may not get. 403 is the app's storage or a network rule that is new.
PASSING = {HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
# If an app may not write to its storage yet, the refusal or the deployment's log says one of these.
NOT_ALLOWED_YET = re.compile(r"Forbidden|\b403\b|not authorized|AuthorizationPermissionMismatch")


class NotPublished(Exception):
    """The app was not published; the message says why and what to do.

    `passing` is True if a later attempt may succeed.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class App(NamedTuple):
    """A function app: the Azure CLI's options that find it, and those that find its subscription.

    Without the latter it is in the CLI's current subscription.
    """

    options: list[str]
    subscription: list[str]


class Answer(NamedTuple):
    """An HTTP answer; `body` is decoded JSON, or text if it is none."""

    status: int
    body: Any


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the token away, and a login page is no success."""

    def redirect_request(self, *request: object) -> None:
        """Refuse."""
        del request


def az(*arguments: str) -> str:
    """Run the Azure CLI and return its output; raises NotPublished."""
    command = shutil.which("az")
    if not command:
        raise NotPublished(
            "the Azure CLI (az) is not on PATH. "
            "Install it (https://aka.ms/azure-cli) and run az login."
        )
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise NotPublished(f"az {' '.join(arguments[:2])} failed: {said}")
    return done.stdout.strip()


def deployment_host(app: App) -> str:
    """Return the host that takes deployments of the app, in any cloud; raises NotPublished."""
    found = az(
        *("resource", "show", "--resource-type", "Microsoft.Web/sites", *app.options),
        *("--query", "properties.hostNameSslStates[?hostType=='Repository'].name | [0]"),
        *("--output", "tsv"),
    )
    if not found:
        raise NotPublished("Azure names no host for deployments of the app.")
    return found


class Service:
    """The deployment service of one app, with a token of the Azure CLI's login."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirect)

    def ask(self, path: str, content: bytes | None = None) -> Answer:
        """GET a path, or POST a zip to it; raises NotPublished if there is no answer."""
        request = urllib.request.Request(f"https://{self._host}{path}", data=content)
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Accept", "application/json")
        if content is not None:
            request.add_header("Content-Type", "application/zip")
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                return Answer(response.status, _decoded(response.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _decoded(error.read()))
        except (OSError, HTTPException) as error:
            raise NotPublished(f"{self._host} does not answer: {error}.", passing=True) from None


def _decoded(body: bytes) -> Any:
    text = body.decode("utf-8", "replace").strip()
    try:
        return json.loads(text)
    except ValueError:
        return text


def publish_once(service: Service, content: bytes, pause: Callable[[float], None]) -> None:
    """Send the zip and wait until it is deployed; raises NotPublished."""
    answer = service.ask("/api/publish?RemoteBuild=false&Deployer=make_publish", content)
    if answer.status == HTTPStatus.OK:
        return
    if answer.status != HTTPStatus.ACCEPTED:
        raise _refused(answer)
    # The answer is the deployment's id; the Azure CLI asks for the latest one instead, which may
    # be an earlier one.
    if not re.fullmatch(r"[\w-]+", str(answer.body)):
        raise NotPublished(f"Azure answered {_short(answer.body)} in place of a deployment's id.")
    deployment = f"/api/deployments/{answer.body}"
    seen = False
    for _ in range(POLLS):
        answer = service.ask(deployment)
        found = answer.body if isinstance(answer.body, dict) else {}
        status = found.get("status")
        if status == SUCCESS:
            return
        if status in ENDED:
            raise _failed(service, deployment, found)
        # azd takes this for the end: the deployment service starts again and forgets.
        if seen and answer.status == HTTPStatus.NOT_FOUND:
            return
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise _refused(answer)
        seen = seen or answer.status < HTTPStatus.BAD_REQUEST
        pause(SECONDS_BETWEEN_POLLS)
    minutes = POLLS * SECONDS_BETWEEN_POLLS // 60
    raise NotPublished(f"the deployment has not ended after {minutes} minutes.", passing=True)


def _refused(answer: Answer) -> NotPublished:
    reason = f"Azure answered {answer.status}: {_short(answer.body)}"
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return NotPublished(f"{reason}. Your login needs Contributor on the app; run az login.")
    passing = answer.status in PASSING or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if answer.status == HTTPStatus.BAD_REQUEST:
        passing = bool(NOT_ALLOWED_YET.search(str(answer.body)))
    return NotPublished(f"{reason}.", passing=passing)


def _failed(service: Service, deployment: str, found: dict[str, Any]) -> NotPublished:
    """Return the error of a deployment that ended badly, with its log."""
    lines = [str(found.get("status_text") or "")]
    try:
        lines += _log(service, f"{deployment}/log", deep=True)
    except NotPublished as error:
        lines.append(f"(its log cannot be read: {error})")
    log = "\n".join(f"  {line}" for line in lines if line.strip())
    passing = found["status"] == 5 or bool(NOT_ALLOWED_YET.search(log))
    return NotPublished(f"the deployment {ENDED[found['status']]}.\n{log}", passing=passing)


def _log(service: Service, path: str, *, deep: bool) -> list[str]:
    """Return the lines of a log, and of the logs that its entries refer to."""
    body = service.ask(path).body
    lines: list[str] = []
    for entry in body if isinstance(body, list) else []:
        lines.append(str(entry.get("message", "")))
        if deep and entry.get("details_url") and entry.get("id"):
            lines += _log(service, f"{path}/{entry['id']}", deep=False)
    return lines


def _short(body: object) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    return " ".join(text.split())[:300] or "nothing"


def publish(app: App, content: bytes, pause: Callable[[float], None] = time.sleep) -> None:
    """Publish a zip, and again while the reason of a failure may pass; raises NotPublished."""
    host = deployment_host(app)
    for attempt in range(1, ATTEMPTS + 1):
        print(f"Attempt {attempt}: sending {len(content):,} bytes to {host}", flush=True)
        # The Azure CLI renews its token; one may end while this waits.
        token = az(
            *("account", "get-access-token", *app.subscription),
            *("--query", "accessToken", "--output", "tsv"),
        )
        try:
            publish_once(Service(host, token), content, pause)
        except NotPublished as error:
            if not error.passing or attempt == ATTEMPTS:
                raise
            wait = SECONDS_BETWEEN_ATTEMPTS
            print(f"{error}\nThis may pass; next attempt in {wait} seconds.", flush=True)
            pause(wait)
        else:
            return


def main(arguments: list[str], pause: Callable[[float], None] = time.sleep) -> None:
    """Publish the zip, and print the command that checks it; exit with a sentence otherwise."""
    parser = argparse.ArgumentParser(prog="publish", description="Publishes the package.")
    parser.add_argument("--name", required=True, help="the function app")
    parser.add_argument("--resource-group", required=True, help="its resource group")
    parser.add_argument("--subscription", default="", help="its subscription, if not the current")
    parser.add_argument("--zip", default="out/package.zip", type=Path, help="the package")
    options = parser.parse_args(arguments)
    subscription = ["--subscription", options.subscription] if options.subscription else []
    found_by = ["--resource-group", options.resource_group, "--name", options.name, *subscription]
    if not options.zip.is_file():
        sys.exit(f"Not published: there is no {options.zip}; make package builds it.")
    try:
        publish(App(found_by, subscription), options.zip.read_bytes(), pause)
    except NotPublished as error:
        sys.exit(f"Not published: {error}\nSee docs/publish.md.")
    print(f"Published {options.zip}. In some minutes this command lists the function detect:")
    listing = f"az functionapp function list {shlex.join(found_by)}"
    print(f'{listing} --query "[].name" --output tsv')


if __name__ == "__main__":
    main(sys.argv[1:])
