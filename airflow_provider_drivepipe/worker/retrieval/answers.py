from __future__ import annotations
import json
from dataclasses import dataclass
from typing import Any
from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.rows import RowPart, with_results
READING_COLUMNS = (Column("given_answer","string"),Column("given_reasoning","string"),Column("given_frames","string"),Column("abstained","boolean"),Column("is_correct","boolean"))
@dataclass(frozen=True)
class ReadingJob:
    part: RowPart
def read_answers(rows: Any, job: ReadingJob, columns: Any) -> Any:
    out=[]
    for r in rows.to_dict("records"):
        v=json.loads(r["answer_text"]); out.append(({"given_answer":v["answer"],"given_reasoning":"","given_frames":"[]","abstained":False,"is_correct":v["answer"]==r["answer"]},None))
    return with_results(rows,out,job.part,columns)
