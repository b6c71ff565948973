"""Commands and groups whose help is whole: click itself cuts a command's line in the list of its group."""

import inspect

import click


def summary_of(command: click.Command) -> str:
    """Return what a command is for: the first paragraph of its help, as one line."""
    return " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())


class WholeCommand(click.Command):
    """A command whose line in a list is wrapped, and not cut."""

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 there is none
        """Return the line in the list of the group."""
        return summary_of(self)


class WholeGroup(click.Group):
    """A group of such commands, and of such groups."""

    command_class = WholeCommand
    group_class = type

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 likewise
        """Return the line in the list of the group around it."""
        return summary_of(self)
