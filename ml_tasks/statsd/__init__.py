"""What Airflow tells by StatsD, as Prometheus reads it: the bridge, and Airflow's client for it."""
