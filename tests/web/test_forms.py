"""Forms from schemas: which kind of field somebody gets."""

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, SecretStr

from app.web.forms import Form

Checked = Annotated[SecretStr, AfterValidator(lambda value: value)]


class Asked(BaseModel):
    """Secrets that have to be typed, and others that may be left out."""

    plain: SecretStr
    checked: Checked
    optional: SecretStr | None = None
    checked_and_optional: Checked | None = None


@pytest.mark.parametrize("name", Asked.model_fields)
def test_a_secret_is_typed_into_a_password_field_and_never_kept(name: str) -> None:
    values: dict[str, Any] = {name: "what somebody typed"}
    asked = Form(Asked, **values)
    assert asked[name].type == "password"
    assert asked[name].value == ""
    assert name not in asked.kept
