"""
``/v1``: what ``flocker-deploy`` of Flocker 1.x calls.
"""

from __future__ import annotations

from flocker_control import apply
from flocker_control.composing import composed
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.store import RevisionConflict
from flocker_py.documents import Complaint
from flocker_py.model import DatasetId


def _refused(complaints: list[Complaint]) -> RequestRefused:
    texts = [f"{'.'.join(map(str, complaint.pointer))}: {complaint.text}" for complaint in complaints]
    return RequestRefused(400, "DeploymentRefused", "; ".join(texts), more={"errors": texts})


async def compose(api: Api, call: Call) -> Answer:
    """
    Run the applications of two files where they say.
    """
    while True:
        state = api.service.state
        deployment = composed(call.body["applications"], call.body["deployment"], state)
        if isinstance(deployment, list):
            raise _refused(deployment)
        new_ids = {name: DatasetId(api.new_id()) for name in deployment.volumes}
        plan = apply.plan(deployment, state, api.service.nodes, new_ids)
        if isinstance(plan, list):
            raise _refused(plan)
        try:
            await api.service.submit(plan.command, if_revision=state.revision)
        except RevisionConflict:
            # There is no condition in what Flocker's clients ask here: it is meant whatever was before.
            continue
        return Answer(body=None)


V1_COMPOSE_ROUTES: tuple[Route, ...] = (
    route(
        "POST",
        "/v1/configuration/_compose",
        compose,
        {200: "V1Nothing"},
        summary="Run the applications of an application file where a deployment file says",
        description="Both files of Flocker 1.x, or a fig file in place of the first, as JSON. An application that is"
        " on no node runs no more; what the files don't name is left alone.",
        body="V1Compose",
        errors={400: "The body is refused, or what is wrong with the files: errors has all of it."},
    ),
)
