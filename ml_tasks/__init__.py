"""The work of the mammography pipeline: one module per stage, on rooms free of Airflow."""

__version__ = "0.1.0"
