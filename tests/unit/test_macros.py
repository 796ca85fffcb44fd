"""The macros decide as the operators do, in any template of any DAG, through Airflow's own rendering."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pendulum
import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.operators.partition import partition_spec_from_context
from airflow_provider_drivepipe.scenario.options import PartitionOptions
from airflow_provider_drivepipe.timetables.odps_partition import OdpsPartitionTimetable

VALUE = "{{ macros.drivepipe.partition_value() }}"
SPEC = "{{ macros.drivepipe.partition_spec() }}"
# 01:00 on 2026-11-20 in Shanghai, still the day before in UTC.
LOGICAL_DATE = datetime(2026, 11, 19, 17, tzinfo=UTC)


class PartitionedOperator(BaseOperator):
    """Stands for the operators of this package: its options are the attribute ``partition``."""

    template_fields = ("partition_spec",)

    def __init__(self, *, partition, **kwargs):
        super().__init__(**kwargs)
        self.partition = partition
        self.partition_spec = SPEC


@pytest.fixture(autouse=True)
def _only_installed_plugins(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(tmp_path))


def make_dag(schedule=None, zone="Asia/Shanghai", **options):
    return DAG("d", schedule=schedule, start_date=pendulum.datetime(2026, 1, 1, tz=zone), **options)


def context_of(task, *, partition_key=None, logical_date=None, conf=None):
    """Return the context that Airflow's task runner gives ``task``; rendering it is what a worker does."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    run = DagRun(
        dag_id="d",
        run_id="r",
        logical_date=logical_date,
        data_interval_start=logical_date,
        data_interval_end=logical_date,
        run_after=now,
        start_date=now,
        end_date=None,
        run_type="manual",
        state="running",
        conf=conf,
        consumed_asset_events=[],
        partition_key=partition_key,
    )
    instance = RuntimeTaskInstance.model_construct(
        id=uuid.uuid4(),
        task_id=task.task_id,
        dag_id="d",
        run_id="r",
        try_number=1,
        map_index=-1,
        task=task,
        start_date=now,
        _ti_context_from_server=TIRunContext(dag_run=run, max_tries=0),
    )
    return instance.get_template_context()


def rendered(task, **run):
    task.render_template_fields(context_of(task, **run))
    return task


def bash(command, dag):
    return BashOperator(task_id="bash", bash_command=command, dag=dag)


def test_in_any_operator_of_a_dag_with_our_timetable():
    dag = make_dag(OdpsPartitionTimetable("0 * * * *", timezone="Asia/Shanghai", granularity="hourly"))
    run = {"partition_key": "2026112007"}
    assert rendered(bash(f"echo {VALUE}", dag), **run).bash_command == "echo 2026112007"
    task = BashOperator(task_id="by_date", bash_command=VALUE, dag=dag)
    assert rendered(task, logical_date=LOGICAL_DATE).bash_command == "2026112001"


def test_in_a_foreign_dag_the_dags_time_zone_counts_unless_another_is_given():
    assert rendered(bash(VALUE, make_dag()), logical_date=LOGICAL_DATE).bash_command == "20261120"
    assert rendered(bash(VALUE, make_dag(zone="UTC")), logical_date=LOGICAL_DATE).bash_command == "20261119"
    given = "{{ macros.drivepipe.partition_value(timezone='Asia/Shanghai', key_format='%Y-%m-%d') }}"
    task = bash(given, make_dag(zone="UTC"))
    assert rendered(task, logical_date=LOGICAL_DATE).bash_command == "2026-11-20"


def test_conf_and_params_name_the_column():
    dag = make_dag(params={"dt": Param(None, type=["null", "string"])})
    template = "{{ macros.drivepipe.partition_value(column='dt') }}"
    assert rendered(bash(template, dag), conf={"dt": "20260102"}).bash_command == "20260102"


def test_a_task_of_ours_shows_its_whole_partition():
    options = PartitionOptions(columns=("ds", "region"), fixed_values=("east",))
    task = PartitionedOperator(task_id="t", partition=options, dag=make_dag())
    assert rendered(task, partition_key="20261120").partition_spec == "ds=20261120,region=east"


def test_macro_and_operator_decide_the_same():
    options = PartitionOptions(columns=("dt", "region"), fixed_values=("east",), timezone="UTC")
    task = PartitionedOperator(task_id="t", partition=options, dag=make_dag())
    context = context_of(task, logical_date=LOGICAL_DATE)
    task.render_template_fields(context)
    assert task.partition_spec == "dt=20261119,region=east"
    assert task.partition_spec == str(partition_spec_from_context(context, options))


def test_other_tasks_of_our_dag_take_the_partition_of_our_task():
    dag = make_dag()
    options = PartitionOptions(columns=("dt", "region"), fixed_values=("east",), timezone="UTC")
    PartitionedOperator(task_id="t", partition=options, dag=dag)
    task = bash(SPEC, dag)
    task.env = {"VALUE": VALUE}
    rendered(task, logical_date=LOGICAL_DATE)
    assert (task.bash_command, task.env) == ("dt=20261119,region=east", {"VALUE": "20261119"})


def test_further_columns_can_be_given():
    template = "{{ macros.drivepipe.partition_spec(region='west', kind='front') }}"
    task = bash(template, make_dag())
    assert rendered(task, partition_key="20261120").bash_command == "ds=20261120,region=west,kind=front"


def test_given_columns_replace_those_of_the_task():
    options = PartitionOptions(columns=("dt", "region"), fixed_values=("east",))
    dag = make_dag()
    PartitionedOperator(task_id="t", partition=options, dag=dag)
    template = "{{ macros.drivepipe.partition_spec(kind='front') }}"
    assert rendered(bash(template, dag), partition_key="20261120").bash_command == "dt=20261120,kind=front"


def test_a_run_without_a_partition_fails_when_it_is_rendered():
    with pytest.raises(ConfigurationError, match="no partition: trigger it with a partition key"):
        rendered(bash(VALUE, make_dag()))


def test_unsafe_values_never_reach_a_template():
    with pytest.raises(ConfigurationError, match="does not fit"):
        rendered(bash(VALUE, make_dag()), conf={"ds": "$(rm -rf .)"})
    with pytest.raises(ConfigurationError, match="not allowed"):
        rendered(bash("{{ macros.drivepipe.partition_spec(region='a b') }}", make_dag()), partition_key="1")


def test_works_in_native_templates_and_files(tmp_path):
    Path(tmp_path, "job.sql").write_text(f"SELECT 1 WHERE ds = '{VALUE}'")
    dag = make_dag(template_searchpath=[str(tmp_path)], render_template_as_native_obj=True)
    task = bash(SPEC, dag)
    assert rendered(task, partition_key="20261120").bash_command == "ds=20261120"
    env = dag.get_template_env(force_sandboxed=True)
    sql = env.get_template("job.sql").render(context_of(task, partition_key="20261120"))
    assert sql == "SELECT 1 WHERE ds = '20261120'"
