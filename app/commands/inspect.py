"""The read-only commands: `check`, `routes` and `openapi`."""

import asyncio
import json

import click

from app import application
from app.health import probes
from app.health.announcement import summary
from app.health.findings import CheckMessage
from app.web.access import declared, rule_of
from app.web.openapi.document import specification


@click.command()
@click.pass_obj
def check_command(config_name: str) -> None:
    """Check this installation and report problems."""
    findings = asyncio.run(_check(config_name))
    for finding in findings:
        click.echo(f"{finding.id}: {finding.message}\n    {finding.hint}", err=True)
    errors = sum(finding.is_error for finding in findings)
    if errors:
        raise click.ClickException(f"{errors} of the checks failed.")
    warnings = "1 warning" if len(findings) == 1 else f"{len(findings)} warnings"
    click.echo(f"No errors, {warnings}." if findings else "No problems found.")


async def _check(config_name: str) -> list[CheckMessage]:
    async with application(config_name) as app:
        click.echo(summary(app.extensions["settings"], config_name))
        return await probes.check(app)


@click.command()
@click.pass_obj
def openapi_command(config_name: str) -> None:
    """Print the specification of the API."""
    click.echo(asyncio.run(_specification(config_name)))


async def _specification(config_name: str) -> str:
    async with application(config_name) as app:
        return json.dumps(specification(app), indent=2, ensure_ascii=False)


@click.command()
@click.pass_obj
def routes_command(config_name: str) -> None:
    """List every route with its access and limit."""
    rows = asyncio.run(_routes(config_name))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        click.echo(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]
            )
        )


async def _routes(config_name: str) -> list[tuple[str, str, str, str]]:
    rows = []
    async with application(config_name) as app:
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
            access, limit = declared(app.view_functions[rule.endpoint])
            methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
            often = "no limit declared" if limit is None else rule_of(limit) or "unlimited"
            rows.append(
                (
                    rule.rule,
                    methods,
                    access.name if access else "NO ACCESS DECLARED: REFUSED",
                    often,
                )
            )
    return rows
