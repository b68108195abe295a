from uuid import UUID

import pytest

from flocker_control.absence import Absence
from flocker_control.news import News
from flocker_py.model import ContainerName, DatasetId, NodeId

A, B = NodeId(UUID(int=1)), NodeId(UUID(int=2))
D, E = DatasetId(UUID(int=3)), DatasetId(UUID(int=4))


@pytest.mark.parametrize(
    "news",
    [
        News(datasets={D}),
        News(containers={ContainerName("web")}),
        News(unrecorded={A}),
        News(attendance={A: None}),
        News(stashes={A}),
        News(leases_due=True),
    ],
    ids=repr,
)
def test_any(news: News) -> None:
    """
    Each kind of news is news, and still is when it has been given back.
    """
    later = News()
    later.give_back(news)

    assert (bool(News()), bool(news), later) == (False, True, news)


def test_given_back() -> None:
    """
    Whether a node is there is said by what came in last.
    """
    gone = Absence(node_id=A, since_seconds=1.0)
    news = News(datasets={D}, attendance={A: None}, leases_due=True)
    news.give_back(News(datasets={E}, stashes={B}, attendance={A: gone, B: gone}))

    assert news == News(datasets={D, E}, stashes={B}, attendance={A: None, B: gone}, leases_due=True)
