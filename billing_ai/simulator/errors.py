"""Errors in the form that Chargebee gives them."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer that is an error: HTTP status and the JSON body that Chargebee sends with it."""

    def __init__(
        self,
        status: int,
        api_error_code: str,
        message: str,
        *,
        kind: str | None = "invalid_request",
        param: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: dict[str, Any] = {"message": message}
        if kind:
            self.body["type"] = kind
        self.body["api_error_code"] = api_error_code
        if param:
            self.body["param"] = param
        self.body["error_code"] = api_error_code
        self.body["error_msg"] = message
        self.body["http_status_code"] = status
        self.body.update(extra or {})


def not_found(what: str, ident: str) -> ApiError:
    """404 for an id that the site does not hold."""
    return ApiError(404, "resource_not_found", f"Sorry, we couldn't find the {what} with id {ident}", param="id")


def wrong_value(param: str, why: str) -> ApiError:
    """400 for a parameter that is unknown, missing, too long or of the wrong form."""
    return ApiError(400, "param_wrong_value", f"{param} : {why}", param=param)


def invalid_state(message: str) -> ApiError:
    """409: the resource is not in a state that allows the operation."""
    return ApiError(409, "invalid_state_for_request", message)


def payment_failed(code: str, text: str, transaction_id: str) -> ApiError:
    """400 for a declined charge; the transaction exists all the same."""
    return ApiError(
        400,
        "payment_processing_failed",
        f"Problem while processing the payment: {text} ({code})",
        kind="payment",
        extra={"error_cause_id": transaction_id},
    )
