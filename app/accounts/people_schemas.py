"""Request and response bodies of the administration of people and roles."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue, StringConstraints

from app.accounts.schemas import (
    FirstName,
    FullName,
    GivenPassword,
    LastName,
    Name,
    NewEmail,
    ShownEmail,
    ShownRole,
    field,
    new_password,
)
from app.auth.models import Permission, Role, User
from app.auth.states import AccountState
from app.keyset import ListQuery
from app.validators import LARGEST_ID, Changes, Shape

# The pages offer the default role; the API may leave it out.
CHOSEN: dict[str, JsonValue] = {"input": "select", "required": True}
# Accounts that one request acts on, while all others who administer wait: a page of the list.
MOST_CHOSEN = 100

UserId = Annotated[int, Field(ge=1, le=LARGEST_ID)]
RoleName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    Field(examples=["User"]),
]


class PeopleQuery(ListQuery):
    """Which people, in which order."""

    q: str | None = Field(
        None, max_length=254, description="What a name or an address begins with."
    )
    role: RoleName | None = Field(None, description="The name of a role.")
    state: AccountState | None = None
    sort: Literal["created", "-created", "name", "-name", "email", "-email"] = Field(
        "-created",
        description="By what the list is sorted. What `q` finds has an order of its own.",
    )


class PersonOut(BaseModel):
    """An account, as administrators see it."""

    id: int
    email: ShownEmail
    first_name: FirstName
    last_name: LastName
    role: ShownRole
    state: AccountState
    must_change_password: bool
    created_at: datetime
    disabled_at: datetime | None

    @classmethod
    def of(cls, user: User) -> "PersonOut":
        """Build it from a user with their role."""
        return cls(
            id=user.id,
            email=user.recipient,
            first_name=user.first_name,
            last_name=user.last_name,
            role=user.role.name,
            state=AccountState(user.state),
            must_change_password=user.must_change_password,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
        )


class PeopleOut(BaseModel):
    """A page of people."""

    items: list[PersonOut]
    next: str | None


class Invitee(FullName):
    """Somebody who is invited by mail."""

    email: NewEmail = field("Email address", "off", input="email")
    role: RoleName | None = Field(None, title="Role", json_schema_extra=CHOSEN)


class NewPerson(Invitee):
    """A new account with a password, which its owner must change when they first log in."""

    password: GivenPassword = new_password("Password")


class PersonFields(FullName):
    """What administrators may change of an account."""

    email: NewEmail
    role: RoleName


class PersonChange(Changes, PersonFields):
    """What administrators change of an account; what is not sent stays as it is."""


class OtherEmail(Shape):
    """Another address for somebody's account."""

    email: NewEmail = field("New email address", "off", input="email")


class OtherRole(Shape):
    """Another role for somebody."""

    role: RoleName = Field(title="Role", json_schema_extra={"input": "select"})


Act = Literal["disable", "enable", "role", "end-sessions", "delete"]


class Selection(Shape):
    """Accounts, and what is done to all of them."""

    ids: list[UserId] = Field(
        min_length=1, max_length=MOST_CHOSEN, json_schema_extra={"input": "checks"}
    )
    act: Act
    role: RoleName | None = Field(None, json_schema_extra={"input": "select"})


class SelectionIn(Selection):
    """Accounts, and what to do to all of them."""

    dry_run: bool = Field(False, description="Report what would happen, and do nothing.")


class SelectionForm(Selection):
    """The page of it, which asks before anything is done."""

    confirmed: bool = False


class Line(BaseModel):
    """What becomes of one account: it is done, or skipped for a reason."""

    id: int
    email: ShownEmail
    done: bool
    reason: str | None = None


class Report(BaseModel):
    """What becomes of each account that was chosen."""

    lines: list[Line]


class RoleIn(Shape):
    """A role, as it is made or edited."""

    name: Name = Field(title="Name", examples=["Editors"])
    index: str = Field(
        examples=["account"],
        title="Landing page",
        description="Where its members go after they have logged in.",
        max_length=64,
        json_schema_extra={"input": "select"},
    )
    default: bool = Field(
        False,
        title="New accounts get this role",
        description="New accounts get it, in place of the present one.",
    )
    administers: bool = Field(
        False, title="Administrator", description="May do everything, whatever is chosen below."
    )
    grants: set[str] = Field(
        set(),
        title="Permissions",
        max_length=100,
        examples=[["pages.edit"]],
        json_schema_extra={"input": "checks"},
    )


def administers(role: Role) -> bool:
    """Return whether the members of a role are administrators."""
    return role.permissions & Permission.ADMINISTER == Permission.ADMINISTER


class RoleOut(BaseModel):
    """A role."""

    id: int
    name: str = Field(examples=["Editors"])
    index: str = Field(examples=["account"])
    default: bool
    administers: bool
    grants: list[str] = Field(examples=[["pages.edit"]])

    @classmethod
    def of(cls, role: Role) -> "RoleOut":
        """Build it from a row."""
        return cls(
            id=role.id,
            name=role.name,
            index=role.index,
            default=role.default,
            administers=administers(role),
            grants=role.grants.split(),
        )


class RolesOut(BaseModel):
    """All roles."""

    items: list[RoleOut]


class Import(Shape):
    """Several people who are invited at once, all of them or nobody."""

    people: str = Field(
        title="People",
        description="Lines like `Name <address>`, or a table: first name, last name, address.",
        min_length=1,
        max_length=200_000,
        examples=["Robin Example <robin@example.com>"],
        json_schema_extra={"input": "textarea"},
    )
    role: RoleName | None = Field(None, title="Role", json_schema_extra={"input": "select"})
    dry_run: bool = Field(False, description="Check the lines, and invite nobody.")


class ImportForm(Shape):
    """The form of it: lines or a file, which are checked before anybody is invited."""

    people: str = Field(
        "",
        title="A line for each person",
        description="First and last name, then the address: Robin Example <robin@example.com>.",
        max_length=200_000,
        json_schema_extra={"input": "textarea"},
    )
    file: str | None = Field(
        None,
        title="Or a CSV file",
        description="Columns: first name, last name, address. In Excel, save as “CSV UTF-8”.",
        max_length=200_000,
        json_schema_extra={"input": "file"},
    )
    role: RoleName | None = Field(None, title="Role", json_schema_extra=CHOSEN)
    confirmed: bool = Field(False, json_schema_extra={"input": "hidden"})


class ImportedLine(BaseModel):
    """A line of an import, and what is wrong with it."""

    number: int
    first_name: FirstName
    last_name: LastName
    email: ShownEmail
    reason: str | None = None


class ImportReport(BaseModel):
    """What became of each line; `invited` says whether the invitations are on their way."""

    lines: list[ImportedLine]
    invited: bool
