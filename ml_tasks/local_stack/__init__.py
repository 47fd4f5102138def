"""The pipeline on one machine: engine, registry, Airflow and TensorBoard, started and ended."""
