"""Requests over HTTP: again where that may help, in one sentence where it does not."""

from __future__ import annotations

import email.utils
import ipaddress
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any, final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from fourfold.errors import UserError
from fourfold.inference.endpoint.options import EndpointOptions

RETRIED = {408, 429, 500, 502, 503, 504}


class Refused(UserError):
    """The endpoint answered with an error."""

    def __init__(self, code: int, address: str, detail: str) -> None:
        super().__init__(f"the endpoint answered {code}", where=address, got=detail)
        self.code = code


@final
class Wire:
    """The connection to one address. The key is read from the environment and never shown."""

    def __init__(self, name: str, base_url: str, options: EndpointOptions) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError("not a web address", where=name, expected="http(s)://…/v1")
        self.base_url, self.host = base_url.rstrip("/"), parts.hostname
        self.options = options
        self.sleep: Callable[[float], None] = time.sleep
        self._key = os.environ.get(options.key_variable)
        # What is meant for this machine must not travel through a proxy that the environment names.
        self._opener = build_opener(_NoRedirects, *([ProxyHandler({})] if self.is_local else []))

    @property
    def is_local(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def post(self, path: str, body: dict[str, Any], again: Callable[[], None]) -> Any:
        """The JSON answer; `again` is called before each retry."""
        try:
            with self._open(path, body, again) as response:
                return json.load(response)
        except (HTTPException, ConnectionError, TimeoutError) as error:
            raise UserError("the endpoint broke off amid its answer", where=self.base_url, got=error) from None
        except (ValueError, RecursionError):
            raise self.foreign() from None

    def events(self, path: str, body: dict[str, Any], again: Callable[[], None]) -> Iterator[Any]:
        """The JSON events of a server-sent stream."""
        try:
            with self._open(path, body, again) as response:
                for line in response:
                    payload = line.decode().removeprefix("data:").strip()
                    if payload == "[DONE]":
                        return
                    if line.startswith(b"data:"):
                        event = json.loads(payload)
                        if event.get("choices"):
                            yield event
        except (HTTPException, ConnectionError, TimeoutError) as error:
            raise UserError("the endpoint broke off amid its answer", where=self.base_url, got=error) from None
        except (ValueError, AttributeError):
            raise self.foreign() from None

    def foreign(self) -> UserError:
        return UserError(
            "the answer is not in OpenAI's form", where=self.base_url, advice="The address mostly ends in /v1."
        )

    def _open(self, path: str, body: dict[str, Any], again: Callable[[], None]) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps(body).encode()
        for attempt in range(self.options.retries + 1):
            last = attempt == self.options.retries
            asked: float | None = None
            try:
                request = Request(f"{self.base_url}/{path}", data, headers)
                return self._opener.open(request, timeout=self.options.timeout)
            except HTTPError as error:
                asked = retry_after(error.headers.get("Retry-After"))
                waits_too_long = asked is not None and asked > self.options.longest_wait
                if error.code not in RETRIED or last or waits_too_long:
                    raise Refused(error.code, self.base_url, _detail(error, asked)) from None
            except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
                if last:
                    raise UserError("the endpoint does not answer", where=self.base_url, got=error) from None
            again()
            self.sleep(max(asked or 0.0, self._pause(attempt)))
        raise AssertionError("unreachable")

    def _pause(self, attempt: int) -> float:
        """Longer each time, and never the same for all who were refused together."""
        longest: float = min(self.options.longest_wait, self.options.first_wait * 2**attempt)
        return random.uniform(longest / 2, longest)


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None where it says nothing."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def _detail(error: HTTPError, asked: float | None) -> str:
    try:
        detail = error.read(500).decode(errors="replace")
    except (OSError, HTTPException):
        detail = ""
    return detail if asked is None else f"{detail} (it asks to wait {asked:.0f} s)".strip()


class _NoRedirects(HTTPRedirectHandler):
    """Text and key go to the address the user named, and to no other that it points at."""

    def redirect_request(self, *arguments: Any) -> None:
        return None
