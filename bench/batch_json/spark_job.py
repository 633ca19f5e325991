"""The Spark job that is measured: `spark_job.py empty|infer|schema FILE`."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import sum as sum_of

SCHEMA = ("order_id STRING, customer_id STRING, created_at STRING, country STRING, "
          "currency STRING, items BIGINT, amount DOUBLE, status STRING")

what, path = sys.argv[1], sys.argv[2]
spark = (SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false")
         .config("spark.driver.memory", "4g").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
if what == "empty":
    print(spark.sql("SELECT 1").collect()[0][0])
else:
    reader = spark.read.schema(SCHEMA) if what == "schema" else spark.read
    print(repr(reader.json(path).agg(sum_of("amount").alias("total_sales")).collect()[0][0]))
spark.stop()
