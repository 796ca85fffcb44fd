
from tests.integration.test_by_hand import *


def test_try(hook, notes, told, table):
    def op(**m):
        with DAG("d"):
            return AiFuncGenerateOperator(**{**dict(task_id="g", source_table=notes, output_table=f"{table}_o", unit_key=("id",), model="reader",
              prompt='Note {note}, not {other} {"a": {"b": 1}} at {place}.', columns=("note","place"), schema=TOPIC, flat_columns=True), **m})
    w = Worker()
    r = w.run(op()); print(json.dumps(r, indent=1)); print(told); print(rows_of(hook, f"{table}_o", "*"))
    told.clear()
    r = w.run(op(), logical_date=DAY); print(r["tokens"], told)
    write_notes(hook, notes, ("a", "snow", "bridge"), ("b", "fog {n}", "{note}"), ("c", None, "tunnel"))
    r = w.run(op()); print(r["tokens"], told)
