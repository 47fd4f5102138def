"""The pages of this pipeline in Airflow: routes behind its login, tabs and links.

What they show is made in ml_tasks/pages; this file only says where it stands. Airflow runs it in
every one of its processes, so nothing but Airflow's own light parts is imported with it.
"""

# Without `from __future__ import annotations`: FastAPI reads the annotations of the routes, which
# are made inside a function, since only the api-server needs FastAPI.

import os
from functools import cached_property
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.bases.operatorlink import BaseOperatorLink

PREFIX = "/mammography"
DAG_ID = "mammography_retraining"
IN_FRAME = f"/plugin/models{PREFIX}"  # the pages as Airflow's navigation entry shows them


def make_app() -> Any:
    """The routes; every one of them asks for Airflow's login and the right to read these runs."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, HTTPException, Request, Response
    from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse

    from ml_tasks.pages import web
    from ml_tasks.pages.answer import Answer
    from ml_tasks.pages.tensorboard import LARGEST, pass_on

    allowed = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=DAG_ID)
    app = FastAPI(
        title="Mammography",
        dependencies=[Depends(allowed)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    def respond(answer: Answer) -> Response:
        if answer.location is not None:
            return RedirectResponse(answer.location, 302, headers=dict(answer.headers))
        if answer.file is not None:
            return FileResponse(
                answer.file,
                media_type=answer.media,
                headers=dict(answer.headers),
                filename=answer.download,
            )
        return Response(answer.text, answer.status, dict(answer.headers), answer.media)

    def route(page: Any) -> Any:
        # A plain function: Airflow gives it a thread, so reading files holds up nobody.
        def show(request: Request) -> Response:
            root = request.scope["root_path"]
            return respond(web.answered(page, os.environ, root, **request.path_params))

        return show

    async def tensorboard(request: Request, path: str) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                raise HTTPException(413, "more than TensorBoard would ask for")
        site = web.site_or_answer(os.environ, request.scope["root_path"])
        if isinstance(site, Answer):
            return respond(site)
        query = request.url.query
        passed = await pass_on(site, request.method, path, query, request.headers, body)
        if isinstance(passed, Answer):
            return respond(passed)
        return StreamingResponse(passed.body, passed.status, dict(passed.headers))

    for path, page in web.PAGES.items():
        app.add_api_route(path, route(page), methods=["GET"])
    app.add_api_route("/tensorboard/{path:path}", tensorboard, methods=["GET", "POST"])
    app.add_api_route("/{path:path}", route(web.unknown), methods=["GET"])
    return app


class ResultLink(BaseOperatorLink):
    """A button on the tasks named, there from the start: its page says what is not there yet."""

    name = ""  # Airflow's is a property, which an instance could not set
    pages: ClassVar[dict[str, str]] = {}

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page for this try's task; empty, so no button, on any other task."""
        from urllib.parse import quote

        page = self.pages.get(ti_key.task_id)
        if page is None or not ti_key.dag_id.startswith(DAG_ID):
            return ""
        return f"{IN_FRAME}/runs/{quote(ti_key.run_id, safe='')}/{page}"


def links() -> list[BaseOperatorLink]:
    """The buttons by name, each with its tasks."""
    shown = {
        "Data report": {"validate_data": "files/validate_data/report.html"},
        "Data Docs": {"validate_data": "files/validate_data/data_docs/index.html"},
        "Leakage certificate": {
            "preprocess.plan": "files/plan_cleaning/leakage.html",
            "preprocess.assemble": "files/preprocess/leakage.html",
        },
        "Contact sheets": {"preprocess.assemble": "files/preprocess/report.html"},
        "Live curves": {"train": "curves"},
        "Report": {"evaluate": "files/evaluate/report.html"},
        "Why (not) shipped": {"gate": "why", "approve": "why"},
        "Release": {"push_model": "release"},
    }
    return [
        type("ResultLink", (ResultLink,), {"name": name, "pages": pages})()
        for name, pages in shown.items()
    ]


class MammographyPages(AirflowPlugin):
    """The pages, an entry in the navigation, a tab on each run and task, the buttons, the limit."""

    name = "mammography_pages"
    global_operator_extra_links: ClassVar[list[BaseOperatorLink]] = links()
    external_views: ClassVar[list[dict[str, str]]] = [
        {
            "name": "Models",
            "href": f"{PREFIX}/models",
            "destination": "nav",
            "url_route": "models",
        },
        {
            "name": "Results",
            "href": f"{PREFIX}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "run-results",
        },
        {
            "name": "Results",
            "href": f"{PREFIX}/dags/{{DAG_ID}}/runs/{{RUN_ID}}/tasks/{{TASK_ID}}",
            "destination": "task_instance",
            "url_route": "task-results",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Made when the api-server asks, and in no other process."""
        return [{"app": make_app(), "url_prefix": PREFIX, "name": "Mammography"}]

    @cached_property
    def deadline_references(self) -> list[type]:
        """Asked for where a run is made; the DAG folder must be on PYTHONPATH there too."""
        from operators.lateness import FirstQueued

        return [FirstQueued]

    @cached_property
    def fastapi_root_middlewares(self) -> list[dict[str, Any]]:
        """Before Airflow's own login."""
        from ml_tasks.pages.login_limit import LoginLimit

        return [{"middleware": LoginLimit, "args": [], "kwargs": {}, "name": "Login limit"}]
