"""The record of a study: storage, recorder, samplers, lock, views, dashboard.

The only home of optuna and sqlalchemy. The recorder is the only writer; views
and the dashboard open the storage read-only. Nothing is imported here, so that
``search status`` pays for no more than it uses.
"""
