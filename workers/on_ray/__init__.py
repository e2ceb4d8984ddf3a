"""Jobs on a Ray cluster, with `EXECUTOR=ray`: Ray finds the place, SQL decides. `python -m workers.on_ray`.

Start with `placer.py`. Only `ray_cluster.py` imports Ray, which is an extra (`requirements-ray.lock`).
"""
