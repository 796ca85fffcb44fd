"""Apache Airflow provider for driving-video pipelines on Alibaba Cloud OSS, MaxCompute and MaxFrame."""

__version__ = "0.1.0"
