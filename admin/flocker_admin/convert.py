"""
``flocker-deploy convert``: the files of Flocker and its tools as a ``cluster.yml``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flocker_admin.cluster_text import cluster_text
from flocker_admin.connecting import addresses_option
from flocker_admin.manifest import Manifest, manifest, mistakes, path_text
from flocker_admin.mistakes_told import tell_mistakes
from flocker_admin.translation import CLUSTER_NAME, Translation, translated
from flocker_admin.unofficial import converted, is_unofficial
from flocker_py.client.addresses import ControlAddress
from flocker_py.deployment import VERSION, parse
from flocker_py.documents import Complaint

REFUSED = 1


def file_text(file: str) -> str:
    """
    What is in a file; ``-``: in standard input.

    :raises click.BadParameter: it can't be read.
    """
    try:
        with click.open_file(file, encoding="utf-8", errors="surrogateescape") as stream:
            return str(stream.read())
    except OSError as error:
        raise click.BadParameter(f"{file}: {error.strerror or error}") from error


def _one_address(context: click.Context, parameter: click.Parameter, text: str | None) -> ControlAddress | None:
    addresses = addresses_option(context, parameter, text)
    if len(addresses) > 1:
        raise click.BadParameter("a cluster.yml names one address.")
    return addresses[0] if addresses else None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", metavar="DEPLOYMENT.YML APPLICATION.YML", nargs=-1, required=True)
@click.option(
    "--control", metavar="HOST[:PORT]", callback=_one_address, help="Where the control service is, for the file."
)
@click.option("--name", default=CLUSTER_NAME, show_default=True, help="What the cluster is called in the file.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file to write; standard output unless given.",
)
def convert(*, files: tuple[str, ...], control: ControlAddress | None, name: str, output: Path | None) -> None:
    """
    Write the cluster.yml that means the same as Flocker's two files, with comments.

    APPLICATION.YML may be Flocker's, fig's or Compose's. A cluster.yml of the unofficial Flocker tools may be given
    instead of both: then the new file has its nodes.

    Nothing is connected to. Deploying the new file does the same as flocker-deploy with Flocker's arguments.
    """
    cluster = {"name": name} if control is None else {"name": name, "control": {"host": control.host}}
    found = parse({"version": VERSION, "cluster": cluster})
    if isinstance(found, list):
        raise click.UsageError(f"{path_text(found[0].pointer)} {found[0].text}")
    match files:
        case (file,):
            text = _unofficial(file, file_text(file))
        case (deployment_file, application_file):
            both = translated(
                deployment_file,
                file_text(deployment_file),
                application_file,
                file_text(application_file),
                cluster_name=name,
                control=None if control is None else (control.host, control.port),
            )
            if isinstance(both, list):
                sys.exit(tell_mistakes(application_file, both, as_json=False))
            for warning in both.warnings:
                click.echo(f"Warning: {warning}.", err=True)
            text = _text(both, deployment_file, application_file)
        case _:
            raise click.UsageError("Give DEPLOYMENT.YML and APPLICATION.YML, or a cluster.yml of the unofficial tools.")
    _write(text, output)


def _text(both: Translation, deployment_file: str, application_file: str) -> str:
    heading = [
        f"What {deployment_file} and {application_file}, a file of {both.format}, say.",
        "Nodes are called by their addresses here; to give them names, list these in nodes.",
        "What this file does not name stays as it is: to end an app, say so with state: deleted.",
    ]
    return cluster_text(both.manifest.data, both.notes, heading)


def _unofficial(file: str, text: str) -> str:
    read = manifest(text)
    if not isinstance(read, Manifest):
        sys.exit(tell_mistakes(file, read, as_json=False))
    if not is_unofficial(read.data):
        raise click.UsageError(
            f"{file} is no cluster.yml of the unofficial Flocker tools, which has agent_nodes and control_node. "
            "Of Flocker's own files give both, DEPLOYMENT.YML and APPLICATION.YML."
        )
    complaints: list[Complaint] = []
    document, notes = converted(read.data, complaints)
    if complaints:
        sys.exit(tell_mistakes(file, mistakes(read, complaints), as_json=False))
    return cluster_text(document, notes, [f"The nodes of {file}. Add volumes and apps."])


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        click.echo(f"Error: {output}: {error.strerror}. Nothing there was changed; name a new file.", err=True)
        sys.exit(REFUSED)
