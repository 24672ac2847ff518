"""The one list of features.

A feature is a folder and one line here. Deleting both removes it: its pages, jobs, tables and menu
entries. Importing this module makes every table and every job known.
"""
# ruff: noqa: F401  (FEATURES below is what these imports are for)

from types import ModuleType

from app.accounts import feature as accounts
from app.audit import feature as audit
from app.content import feature as content
from app.jobs import feature as jobs
from app.mail import feature as mail
from app.site import feature as site

# Every feature imported above, in that order.
FEATURES = [each for each in vars().values() if isinstance(each, ModuleType)]
