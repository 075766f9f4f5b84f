"""Runs Athena's statements in Spark, whose tables use Hive's own CSV reader. One call per line.

It is a process of its own, because a session with a Hive catalog can't share the Java machine of
the other tests' session. Each line of the input is JSON: the statements of one test. Each line of
the output is JSON: the rows of the view, or the error.
"""

import json
import sys
import tempfile

from pyspark.sql import SparkSession


def answer(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.sql.warehouse.dir", f"{folder}/warehouse")
            .config("spark.sql.ansi.enabled", "true")
            .config(
                "spark.hadoop.javax.jdo.option.ConnectionURL", "jdbc:derby:memory:m;create=true"
            )
            .config("spark.hadoop.datanucleus.schema.autoCreateAll", "true")
            .config("spark.hadoop.hive.metastore.schema.verification", "false")
            .config("spark.driver.extraJavaOptions", f"-Dderby.system.home={folder}")
            # Athena reads the folders below a folder too.
            .config("spark.hadoop.mapreduce.input.fileinputformat.input.dir.recursive", "true")
            .config("spark.hadoop.hive.mapred.supports.subdirectories", "true")
            .enableHiveSupport()
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("OFF")
        answer("ready")
        for line in sys.stdin:
            try:
                for text in (statements := json.loads(line))[:-1]:
                    session.sql(text)
                found = {"rows": [list(row) for row in session.sql(statements[-1]).collect()]}
            except Exception as error:  # noqa: BLE001 -- of Spark, Py4J or Java
                found = {"error": str(error)}
            answer(json.dumps(found))
        session.stop()


if __name__ == "__main__":
    main()
