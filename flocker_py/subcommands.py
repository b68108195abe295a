"""
What programs that run as a service and have commands besides share.
"""

from __future__ import annotations

import click


def refuse_given_options(context: click.Context) -> None:
    """
    :raises click.UsageError: an option stands before the command, and would have no effect there.
    """
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if given is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[0]} before a command is an option of the service. "
                f"Options of {context.invoked_subcommand} stand behind it."
            )
