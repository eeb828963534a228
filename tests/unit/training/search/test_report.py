"""A search on a page: what a provider said breaks no table."""

from gateway_tuning.training.search.report import markdown
from gateway_tuning.training.search.trial import Search, TrialState
from tests.conftest import NOW
from tests.unit.training.search.conftest import make_plan, make_trial


def test_each_trial_is_one_row_whatever_its_provider_said():
    search = Search("search-1", "default", "ds-1", make_plan(), NOW)
    failed = make_trial(1, state=TrialState.FAILED, message="no quota:\n| 3 of <b>3</b>")

    lines = markdown(search, [make_trial(0, 0.5), failed]).splitlines()

    assert lines[-2].startswith("| 0 | default | complete | 0.5000 | the defaults |")
    assert lines[-1].endswith("| no quota: \\| 3 of &lt;b>3&lt;/b> |")
