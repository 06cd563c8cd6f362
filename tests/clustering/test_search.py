"""The search around the loop: starts, restarts, resumption, and samples shared out among processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bodies import embedding, options, random_bodies

from pmnet.body import OPEN_BODY, BodyModel, BodyParams
from pmnet.body.parts import BODY_PARTS, vertex_weights
from pmnet.clustering import kmeans as module
from pmnet.clustering.exact import chunks
from pmnet.clustering.exact.embedded import EmbeddedBodies, embed_bodies
from pmnet.clustering.init import start
from pmnet.clustering.kmeans import kmeans
from pmnet.clustering.options import Cluster
from pmnet.clustering.reference import Clustering
from pmnet.clustering.sharding import Shard
from pmnet.clustering.sums import Sums
from pmnet.memory.spaces import ParameterSpace, Space, VertexSpace

OPTIONS = options(6, max_iterations=8)


@pytest.fixture(scope="module")
def points() -> EmbeddedBodies:
    return embed_bodies(embedding(ParameterSpace()), random_bodies(150), 1.0)


def same(first: Clustering, second: Clustering) -> bool:
    return first.history == second.history and all(
        torch.equal(a, b)
        for a, b in (
            (first.centres.rotmats, second.centres.rotmats),
            (first.centres.betas, second.centres.betas),
            (first.assignments, second.assignments),
            (first.distances, second.distances),
        )
    )


def test_kmeans_plus_plus_draws_different_bodies_far_apart(points):
    copies = embed_bodies(points.embedding, BodyParams.cat([random_bodies(8)] * 20), 1.0)
    drawn = start(copies, 8, 0, "kmeans++", Shard.whole(160))
    assert len(drawn.betas.unique(dim=0)) == 8  # each place once, though there are 20 copies
    many = start(copies, 12, 0, "kmeans++", Shard.whole(160))
    assert len(many) == 12
    plain = start(copies, 8, 0, "random", Shard.whole(160))
    assert len(plain.betas.unique(dim=0)) < 8


def test_the_best_of_the_restarts_is_kept(points):
    alone = [kmeans(points, replace(OPTIONS, restarts=1))]
    several = kmeans(points, replace(OPTIONS, restarts=4))
    least = min(row.mean_distance for row in several.history)
    assert least <= min(row.mean_distance for row in alone[0].history)
    assert (
        kmeans(points, replace(OPTIONS, restarts=2)).distances.mean() <= alone[0].distances.mean()
    )
    assert same(several, kmeans(points, replace(OPTIONS, restarts=4)))


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_search_that_is_killed_goes_on_to_the_same_end(points, tmp_path, monkeypatch, restarts):
    search = replace(OPTIONS, restarts=restarts)
    whole, checkpoint = kmeans(points, search), tmp_path / "search.ckpt"
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    tell = module._report
    for at in (1, 2, 1):
        told = []

        def killed(*line, at=at, told=told):
            told.append(line)
            if len(told) > at:
                raise KeyboardInterrupt
            tell(*line)

        monkeypatch.setattr(module, "_report", killed)
        with pytest.raises(KeyboardInterrupt):
            kmeans(points, search, checkpoint=checkpoint)
        assert checkpoint.exists()
    monkeypatch.setattr(module, "_report", tell)
    assert same(kmeans(points, search, checkpoint=checkpoint), whole)
    assert not checkpoint.exists()


def test_sums_moved_one_by_one_are_sums_made_at_once(points):
    generator = torch.Generator().manual_seed(0)
    moved = Sums(points, 5)
    for _ in range(4):
        labels = torch.randint(5, (150,), generator=generator)
        moved.move(labels)
    fresh = Sums(points, 5)
    assert fresh.move(labels) == 150
    whole = Shard.whole(150)
    for mine, other in zip(moved.means(whole), fresh.means(whole), strict=True):
        assert torch.equal(mine, other)
    expected = points.space.embed(random_bodies(150)).double()[labels == 3].mean(0)
    torch.testing.assert_close(fresh.means(whole)[0][3], expected, atol=1e-9, rtol=0)


# --- several processes: this file is also what they run


def spaces() -> dict[str, Space]:
    body = BodyModel.load(OPEN_BODY)
    weights = vertex_weights(body.parts, dict.fromkeys(BODY_PARTS, 1.0))
    return {"vertex": VertexSpace(body, weights), "parameter": ParameterSpace()}


def searches() -> list[tuple[str, Cluster]]:
    return [
        ("vertex", OPTIONS),
        ("vertex", replace(OPTIONS, init="kmeans++", k=9)),
        ("parameter", replace(OPTIONS, restarts=2)),
        ("parameter", replace(OPTIONS, k=1)),
    ]


def run(shard_of: object, params: BodyParams) -> list[Clustering]:
    shard = shard_of(len(params))
    here, known = params[slice(shard.start, shard.stop)], spaces()
    cached = {name: embed_bodies(embedding(space), here, 1.0) for name, space in known.items()}
    return [kmeans(cached[name], search, shard) for name, search in searches()]


def test_two_processes_find_what_one_finds(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 64)
    store = tmp_path / "store"
    tests = Path(__file__).parents[1] / "helpers"
    paths = {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parents[1])])}
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(store), str(tmp_path)], env=os.environ | paths
        )
        for rank in range(2)
    ]
    alone = run(Shard.whole, random_bodies(230))
    assert [worker.wait(120) for worker in workers] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        for one, two in zip(alone, found, strict=True):
            assert torch.equal(one.assignments, two.assignments)
            assert torch.equal(one.centres.rotmats, two.centres.rotmats)
            assert torch.equal(one.centres.betas, two.centres.betas)
            # float32 products of other shapes round otherwise: within the bounds, not to the bit
            torch.testing.assert_close(one.distances, two.distances, atol=1e-3, rtol=2e-3)
            counts = [[(row.changed, row.empty) for row in c.history] for c in (one, two)]
            assert counts[0] == counts[1]


def main(rank: int, store: Path, out: Path) -> None:
    """Be one of two processes."""
    chunks.CHUNK = 64
    torch.set_num_threads(1)
    group = torch.distributed
    group.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = run(lambda total: Shard.of(total, group.group.WORLD), random_bodies(230))
    torch.save(found, out / f"{rank}.pt")
    group.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, plain: path.write_bytes(b""),
        lambda path, plain: path.write_bytes(path.read_bytes()[:500]),
        lambda path, plain: torch.save([1], path),
        lambda path, plain: torch.save({**plain, "best": None}, path),
        lambda path, plain: torch.save({**plain, "restart": 1}, path),
        lambda path, plain: torch.save({k: v for k, v in plain.items() if k != "least"}, path),
        lambda path, plain: torch.save({**plain, "centres": (torch.zeros(1), 2)}, path),
    ],
)
def test_a_search_starts_anew_where_its_checkpoint_is_damaged(
    points, tmp_path, monkeypatch, capsys, damage
):
    whole, checkpoint = kmeans(points, OPTIONS), tmp_path / "search.ckpt"
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)

    def killed(row, *_):
        if row.iteration:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_report", killed)
        with pytest.raises(KeyboardInterrupt):
            kmeans(points, OPTIONS, checkpoint=checkpoint)
    damage(checkpoint, torch.load(checkpoint, weights_only=True))
    assert same(kmeans(points, OPTIONS, checkpoint=checkpoint), whole)
    assert "the clustering starts anew" in capsys.readouterr().err
