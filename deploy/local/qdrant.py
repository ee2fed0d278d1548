"""Qdrant's HTTP interface, as far as Twofold uses it, over qdrant-client's local mode.

For machines where no Qdrant server is to be had: several processes of one topology then share an
index. It is slow, holds one lock, and proves nothing about a real server's speed or durability.
"""

import argparse
import json
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import FileResponse, Response
from qdrant_client import QdrantClient
from qdrant_client import models as m

PAGE = 256


def create_app(folder: Path, key: str) -> FastAPI:
    """The server over `folder`; `key` is what callers have to show."""
    # Local mode says that payload indexes have no effect there, once for each.
    warnings.filterwarnings("ignore", message="Payload indexes")
    client = QdrantClient(path=str(folder / "storage"), force_disable_check_same_thread=True)
    lock = threading.Lock()
    snapshots = folder / "snapshots"
    snapshots.mkdir(parents=True, exist_ok=True)
    app = FastAPI(openapi_url=None)

    def done(work: Callable[[], Any]) -> dict[str, Any]:
        """Qdrant's envelope around what `work` returns; 404 where it names what is not there."""
        try:
            with lock:
                found = work()
        except ValueError as error:
            status = 409 if "already exists" in str(error) else 404
            raise HTTPException(status, str(error)) from None
        return {"result": jsonable_encoder(found), "status": "ok", "time": 0.0}

    @app.middleware("http")
    async def admitted(request: Request, go_on: Callable[..., Any]) -> Response:
        open_to_all = request.url.path in ("/", "/readyz", "/livez", "/healthz")
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not open_to_all and key not in (request.headers.get("api-key"), bearer):
            return Response("Must provide an API key", 401)
        answered: Response = await go_on(request)
        return answered

    @app.get("/")
    def version() -> dict[str, str]:
        from importlib.metadata import version

        return {"title": "qdrant stand-in", "version": version("qdrant-client")}

    @app.get("/readyz")
    @app.get("/livez")
    @app.get("/healthz")
    def alive() -> str:
        return "ok"

    @app.get("/metrics")
    def metrics() -> Response:
        with lock:
            count = len(client.get_collections().collections)
        return Response(f"# TYPE collections_total gauge\ncollections_total {count}\n")

    @app.get("/collections")
    def collections() -> Any:
        return done(client.get_collections)

    @app.get("/aliases")
    def aliases() -> Any:
        return done(client.get_aliases)

    @app.post("/collections/aliases")
    def change_aliases(body: m.ChangeAliasesOperation) -> Any:
        return done(lambda: client.update_collection_aliases(body.actions))

    @app.get("/collections/{name}/exists")
    def exists(name: str) -> Any:
        return done(lambda: {"exists": client.collection_exists(name)})

    @app.get("/collections/{name}")
    def collection(name: str) -> Any:
        return done(lambda: client.get_collection(name))

    @app.put("/collections/{name}")
    def create(name: str, body: m.CreateCollection) -> Any:
        return done(
            lambda: client.create_collection(
                name, vectors_config=body.vectors, sparse_vectors_config=body.sparse_vectors,
                metadata=body.metadata,
            )
        )  # fmt: skip

    @app.patch("/collections/{name}")
    def update(name: str, body: m.UpdateCollection) -> Any:
        return done(lambda: client.update_collection(name, metadata=body.metadata))

    @app.delete("/collections/{name}")
    def delete_collection(name: str) -> Any:
        return done(lambda: client.delete_collection(name))

    @app.put("/collections/{_name}/index")
    def index(_name: str) -> Any:
        return done(lambda: _updated())

    @app.put("/collections/{name}/points")
    def upsert(name: str, body: m.PointsList) -> Any:
        return done(lambda: client.upsert(name, body.points))

    @app.post("/collections/{name}/points")
    def retrieve(name: str, body: m.PointRequest) -> Any:
        return done(lambda: client.retrieve(name, body.ids, with_payload=True))

    @app.post("/collections/{name}/points/delete")
    def delete(name: str, body: m.PointIdsList | m.FilterSelector) -> Any:
        return done(lambda: client.delete(name, body))

    @app.post("/collections/{name}/points/batch")
    def batch(name: str, body: m.UpdateOperations) -> Any:
        return done(lambda: client.batch_update_points(name, body.operations))

    @app.post("/collections/{name}/points/count")
    def count(name: str, body: m.CountRequest) -> Any:
        return done(lambda: client.count(name, count_filter=body.filter, exact=True))

    @app.post("/collections/{name}/points/query/batch")
    def query(name: str, body: m.QueryRequestBatch) -> Any:
        return done(lambda: client.query_batch_points(name, body.searches))

    @app.post("/collections/{name}/points/scroll")
    def scroll(name: str, body: m.ScrollRequest) -> Any:
        def work() -> dict[str, Any]:
            points, after = client.scroll(
                name, body.filter, limit=body.limit or PAGE, offset=body.offset,
                with_payload=body.with_payload or False, with_vectors=body.with_vector or False,
            )  # fmt: skip
            return {"points": points, "next_page_offset": after}

        return done(work)

    @app.post("/collections/{name}/snapshots")
    def snapshot(name: str) -> Any:
        def work() -> dict[str, Any]:
            config = client.get_collection(name).config
            points, after = [], None
            while True:
                page, after = client.scroll(
                    name, limit=PAGE, offset=after, with_payload=True, with_vectors=True
                )
                points += page
                if after is None:
                    break
            kept = {"config": config, "points": points}
            path = snapshots / f"{name}.snapshot"
            path.write_text(json.dumps(jsonable_encoder(kept)), encoding="utf-8")
            return {"name": path.name, "size": path.stat().st_size, "creation_time": None}

        return done(work)

    @app.get("/collections/{_name}/snapshots/{file}")
    def download(_name: str, file: str) -> FileResponse:
        return FileResponse(snapshots / Path(file).name)

    @app.delete("/collections/{_name}/snapshots/{file}")
    def forget(_name: str, file: str) -> Any:
        return done(lambda: (snapshots / Path(file).name).unlink() is None)

    @app.post("/collections/{name}/snapshots/upload")
    async def upload(name: str, request: Request) -> Any:
        form = await request.form()
        kept = json.loads(await form["snapshot"].read())  # type: ignore[union-attr]

        def work() -> bool:
            params = m.CollectionConfig.model_validate(kept["config"]).params
            if client.collection_exists(name):
                client.delete_collection(name)
            client.create_collection(
                name, vectors_config=params.vectors, sparse_vectors_config=params.sparse_vectors,
                metadata=kept["config"]["metadata"],
            )  # fmt: skip
            points = [m.PointStruct(id=p["id"], payload=p["payload"], vector=p["vector"])
                      for p in kept["points"]]  # fmt: skip
            for start in range(0, len(points), PAGE):
                client.upsert(name, points[start : start + PAGE])
            return True

        return done(work)

    return app


def _updated() -> m.UpdateResult:
    return m.UpdateResult(operation_id=0, status=m.UpdateStatus.COMPLETED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", type=Path, required=True)
    options = parser.parse_args()
    app = create_app(options.folder, options.key_file.read_text().strip())
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
