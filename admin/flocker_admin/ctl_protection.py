"""
The commands of ``flockerctl`` by which datasets are kept from users of volume drivers.
"""

from __future__ import annotations

from typing import Any

import click

from flocker_admin.ctl_session import Session, json_option, listed, told
from flocker_py.client.control import ControlClient
from flocker_py.protection import with_protection


@click.command()
@click.argument("dataset")
@json_option
@click.pass_obj
def protect(session: Session, dataset: str, as_json: bool) -> None:
    """
    Keep DATASET from being deleted by `docker volume rm`. flocker-deploy can still delete it.
    """
    _change(session, dataset, protected=True, as_json=as_json)


@click.command()
@click.argument("dataset")
@json_option
@click.pass_obj
def unprotect(session: Session, dataset: str, as_json: bool) -> None:
    """
    Let DATASET be deleted by `docker volume rm` again.
    """
    _change(session, dataset, protected=False, as_json=as_json)


def _change(session: Session, dataset: str, *, protected: bool, as_json: bool) -> None:
    async def command(_reactor: Any, client: ControlClient) -> int:
        found = await client.dataset(dataset)
        metadata = with_protection(found.metadata, protected=protected)
        await client.change_dataset(found.dataset_id, metadata=metadata)
        if as_json:
            return told({"dataset_id": str(found.dataset_id), "protected": protected})
        return listed([f"{dataset} is {'' if protected else 'no longer '}protected."])

    session.run(command, as_json=as_json)
