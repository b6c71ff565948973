"""`config-validator -c gorouter.yml`: the executable that later Gorouters have for it (spec 9.9)."""

import argparse

from fastrouter.cli.config_commands import refuse
from fastrouter.config import ConfigError, load


def main() -> None:
    """Load a configuration file as the router does: exit with 0 if that succeeds, else with 1."""
    parser = argparse.ArgumentParser(prog="config-validator", allow_abbrev=False)
    parser.add_argument("-c", "--c", dest="path", metavar="FILE", required=True, help="the configuration file")
    path = parser.parse_args().path
    try:
        load(path)
    except ConfigError as error:
        refuse(path, *error.all())
    print("config-loaded-successfully")
