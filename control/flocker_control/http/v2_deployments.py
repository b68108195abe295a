"""
``/v2``: deployment documents, planned and applied.
"""

from __future__ import annotations

from typing import Any

from flocker_control import apply
from flocker_control.apply import Plan
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.steps import Step
from flocker_control.store import RevisionConflict
from flocker_py.deployment import parse
from flocker_py.documents import Complaint
from flocker_py.model import DatasetId


def _refused(complaints: list[Complaint]) -> RequestRefused:
    errors = [{"pointer": list(complaint.pointer), "text": complaint.text} for complaint in complaints]
    count = "one thing" if len(errors) == 1 else f"{len(errors)} things"
    return RequestRefused(
        422, "DeploymentRefused", f"There is {count} to correct in the deployment.", more={"errors": errors}
    )


def _planned(api: Api, document: dict[str, Any]) -> Plan:
    """
    :raises RequestRefused: the document can't be carried out.
    """
    deployment = parse(document)
    if isinstance(deployment, list):
        raise _refused(deployment)
    new_ids = {name: DatasetId(api.new_id()) for name in deployment.volumes}
    found = apply.plan(deployment, api.service.state, api.service.nodes, new_ids)
    if isinstance(found, list):
        raise _refused(found)
    return found


def _steps(plan: Plan) -> list[dict[str, str]]:
    return [_step_view(step) for step in plan.steps]


def _step_view(step: Step) -> dict[str, str]:
    return {"action": step.action, "kind": step.kind, "name": step.name, "text": step.text}


async def plan_deployment(api: Api, call: Call) -> Answer:
    """
    What would change.
    """
    revision = api.service.state.revision
    found = _planned(api, call.body["deployment"])
    return Answer(
        body={
            "revision": revision,
            "steps": _steps(found),
            "unmanaged": [{"kind": it.kind, "name": it.name, "text": it.text} for it in found.unmanaged],
            "warnings": list(found.warnings),
        }
    )


async def apply_deployment(api: Api, call: Call) -> Answer:
    """
    Change all of it, or nothing.
    """
    revision = call.body["revision"]
    if api.service.state.revision != revision:
        raise RevisionConflict(f"planned on revision {revision}, but the cluster is at {api.service.state.revision}")
    found = _planned(api, call.body["deployment"])
    state = await api.service.submit(found.command, if_revision=revision)
    return Answer(body={"revision": state.revision, "steps": _steps(found)})


_REFUSED = {
    400: "The body is not of the form.",
    422: "The deployment can't be carried out: `errors` has every complaint, each with a `pointer` and a `text`.",
}

DEPLOYMENT_ROUTES: tuple[Route, ...] = (
    route(
        "POST",
        "/v2/plan",
        plan_deployment,
        {200: "Plan"},
        summary="What would change if a deployment were applied",
        body="PlanRequest",
        errors=_REFUSED,
    ),
    route(
        "POST",
        "/v2/apply",
        apply_deployment,
        {200: "Applied"},
        summary="Apply a deployment, whole or not at all, to the revision that it was planned on",
        description="Absence never deletes: what the deployment doesn't name stays as it is.",
        body="ApplyRequest",
        errors={409: "Something was committed since: plan again.", **_REFUSED},
    ),
)
