-- Prefect's server keeps its own tables beside those of the loop.
CREATE DATABASE prefect;
