"""Whatever the base does not stand on can be removed: a folder, its tests and one line."""

import re

import pytest

from app.environment import PROJECT_ROOT
from tests.clones import Clone
from tests.features.changing import NEEDED, optional, remove

OPTIONAL = optional()
CASES = [[name] for name in OPTIONAL] + [OPTIONAL] * (len(OPTIONAL) > 1)
WHOLE_SUITE = 900  # seconds that it may take on a busy machine

# Tests of other features that pass by the home page, and so need `site`.
AT_HOME = (
    "deleting_the_account_takes_the_password",
    "sessions_are_listed_with_their_device",
    "showing_the_password_leads_to_no_other_site",
    "who_registered_with_a_wrong_address_can_correct_it",
    "after_logging_in_one_is_home_and_known",
    "an_encoded_foreign_target_leads_home",
    "log_in_leads_to_no_other_site",
    "who_is_signed_in_needs_no_log_in_page",
    "one_registers_confirms_and_is_in",
    "who_has_not_confirmed_is_kept",
    "for_anybody_elsewhere_there_is_no_mailbox",
    "pages_answer_503_when_the_database_is_away",
    "test_pages.py",
    "a_landing_page_that_is_gone_is_the_home_page",
    "a_landing_page_that_a_role_may_not_open_is_the_home_page",
    "one_lands_on_the_page_of_ones_role",
    "nothing_that_needs_an_account_works_before",
    # These need the permission that editable pages declare, or documents that name them.
    "a_role_is_made_and_edited_by_page_as_by_api",
    "a_new_role_lands_at_home_and_the_list_says_what_roles_may",
    "every_file_that_is_named_is_there",
)

EVERY_PAGE = """
client = app.test_client()
for rule in app.url_map.iter_rules():
    if "GET" in rule.methods and not rule.arguments:
        response = await client.get(rule.rule)
        assert response.status_code < 500 or rule.rule == "/readyz", rule.rule
print(await (await client.get("/account/login")).get_data(as_text=True))
"""


def test_what_stays_names_no_endpoint_or_job_of_what_can_be_removed() -> None:
    named = re.compile(rf"[\"'](?:{'|'.join(OPTIONAL) or '-'})(?:_api)?\.[a-z_]+[\"']")
    found = {
        str(path): named.findall(path.read_text())
        for feature in NEEDED
        for path in (PROJECT_ROOT / "app" / feature).rglob("*")
        if path.suffix in (".py", ".html", ".txt")
    }
    assert len(found) > 20
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("names", CASES, ids="-".join)
def test_without_it_the_rest_starts_and_keeps_its_promises(clone: Clone, names: list[str]) -> None:
    remove(clone, *names)
    clone.does("setup-dev")
    routes = clone.does("routes")
    assert "/account/login" in routes
    page = clone.does("shell", stdin=EVERY_PAGE)
    home = "/account/manage" if "site" in names else "/"
    assert f'<a class="brand" href="{home}">' in page
    clone.lints("imports")
    clone.tests("--collect-only", "--ignore", "tests/features", "-m", "")


@pytest.mark.faults
def test_without_any_of_them_the_whole_suite_and_lint_pass(clone: Clone) -> None:
    remove(clone, *OPTIONAL)
    clone.does("db", "upgrade")
    migrated = clone.run("db", "migrate", "-m", "Remove what was optional")
    assert migrated.returncode == 0 or "no migration is written" in migrated.stderr
    clone.timeout = WHOLE_SUITE
    clone.does("lint")
    # Which database it is makes no difference to what was removed.
    without_home = f"not ({' or '.join(AT_HOME)}) and not postgresql"
    clone.tests("-n", "auto", "--ignore", "tests/features", "-k", without_home)
