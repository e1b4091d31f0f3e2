"""What a user would write instead: Ray Tune, ASHA, OptunaSearch, ImageFolder.

The script of the tutorials, in good faith: torchvision transforms and a
DataLoader, ``requires_grad=False`` for what is frozen, AdamW with two rates and a
cosine, a checkpoint with every report, one thread a trial and a trial a core.

    python benchmarks/baseline.py --images DIR --weights FILE --trials LIST.json
    python benchmarks/baseline.py --images DIR --weights FILE --search 20 --seconds 120
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import work


def loaders(options: dict[str, Any], part: str, *, train: bool) -> Any:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    size = options["image_size"]
    steps = [transforms.Resize(round(1.25 * size)), transforms.CenterCrop(round(1.25 * size))]
    if train and not options["plain"]:
        steps += [transforms.RandomCrop(size), transforms.RandomHorizontalFlip()]
    else:
        steps += [transforms.CenterCrop(size)]
    steps += [transforms.ToTensor(), transforms.Normalize(work.MEAN, work.STD)]
    images = datasets.ImageFolder(Path(options["images"]) / part, transforms.Compose(steps))
    return DataLoader(images, batch_size=options["batch_size"], shuffle=train)


def model_of(options: dict[str, Any], trial: work.Trial, classes: int) -> Any:
    import timm
    import torch

    model = timm.create_model(work.TIMM, num_classes=classes, drop_rate=trial.dropout)
    model.load_state_dict(torch.load(options["weights"], weights_only=True), strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = work.trains(name, trial.depth)
    return model


def score(model: Any, loader: Any) -> tuple[float, float]:
    """Balanced accuracy and loss."""
    import torch
    from sklearn.metrics import balanced_accuracy_score

    model.eval()
    truth, found, loss = [], [], 0.0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            truth += labels.tolist()
            found += logits.argmax(1).tolist()
    return float(balanced_accuracy_score(truth, found)), loss / len(truth)


def predictions(model: Any, loader: Any, options: dict[str, Any]) -> dict[str, str]:
    """The label of each test image, by its path."""
    import torch

    found: list[int] = []
    with torch.no_grad():
        for images, _ in loader:
            found += model(images).argmax(1).tolist()
    root = Path(options["images"]) / "test"
    return {
        Path(path).relative_to(root).as_posix(): loader.dataset.classes[label]
        for (path, _), label in zip(loader.dataset.samples, found, strict=True)
    }


def epochs(options: dict[str, Any], trial: work.Trial) -> Any:
    """Train; yields (balanced accuracy, model) after each epoch."""
    import torch

    torch.set_num_threads(1)
    train, val = loaders(options, "train", train=True), loaders(options, "val", train=False)
    model = model_of(options, trial, len(train.dataset.classes))
    head = list(model.classifier.parameters())
    heads = {id(parameter) for parameter in head}
    body = [p for p in model.parameters() if p.requires_grad and id(p) not in heads]
    groups = [{"params": head, "lr": trial.lr}]
    if body:
        groups.append({"params": body, "lr": trial.lr * trial.scale})
    optimiser = torch.optim.AdamW(groups, weight_decay=trial.weight_decay)
    steps = options["epochs"] * len(train)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    for _ in range(options["epochs"]):
        model.train()
        for images, labels in train:
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        yield score(model, val)[0], model


def trainable(config: dict[str, Any]) -> None:
    import torch
    from ray import tune

    trial = work.Trial(**config["trial"])
    for value, model in epochs(config["options"], trial):
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), Path(folder) / "model.pth")
            tune.report(
                {"balanced_accuracy": value},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


def searched(config: dict[str, Any]) -> None:
    trial = {name: config[name] for name in ("depth", "lr", "scale", "dropout", "weight_decay")}
    trainable({"trial": trial, "options": config["options"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--trials", type=Path, help="a recorded list, each trained to the end")
    parser.add_argument("--search", type=int, help="a search of this many trials instead")
    parser.add_argument("--seconds", type=float, help="of the search, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="no augmentation")
    parser.add_argument("--predictions", type=Path, help="write the best model's, on test")
    arguments = parser.parse_args()
    began = time.perf_counter()
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback only
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # Workers find work.py beside this file.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
    from ray.tune.search.basic_variant import BasicVariantGenerator

    options = {
        "images": arguments.images,
        "weights": arguments.weights,
        "image_size": arguments.image_size,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "plain": arguments.plain,
    }

    class Times(tune.Callback):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
        ) -> None:
            value = result["balanced_accuracy"]
            print(f"REPORT {time.perf_counter() - began:.2f} {value:.4f}", flush=True)

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        if arguments.trials is not None:
            rows = json.loads(arguments.trials.read_text(encoding="utf-8"))
            function: Any = trainable
            space: dict[str, Any] = {
                "options": options,
                "trial": tune.grid_search(rows),
            }
            search: Any = BasicVariantGenerator(max_concurrent=2)
            scheduler: Any = FIFOScheduler()
            count = 1
        else:
            from ray.tune.search import ConcurrencyLimiter
            from ray.tune.search.optuna import OptunaSearch

            function = searched
            space = {
                "options": options,
                "depth": tune.randint(0, 3),
                "lr": tune.loguniform(1e-3, 1e-2),
                "scale": tune.loguniform(0.03, 0.3),
                "dropout": tune.uniform(0.0, 0.4),
                "weight_decay": tune.loguniform(1e-4, 1e-2),
            }
            search = ConcurrencyLimiter(OptunaSearch(seed=arguments.seed), max_concurrent=2)
            scheduler = ASHAScheduler(max_t=arguments.epochs, grace_period=1, reduction_factor=3)
            count = arguments.search
        tuner = tune.Tuner(
            tune.with_resources(function, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="balanced_accuracy",
                mode="max",
                num_samples=count,
                search_alg=search,
                scheduler=scheduler,
                time_budget_s=arguments.seconds,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[Times()],
                checkpoint_config=tune.CheckpointConfig(
                    num_to_keep=1, checkpoint_score_attribute="balanced_accuracy"
                ),
            ),
        )
        results = tuner.fit()
        if not any(result.metrics and "balanced_accuracy" in result.metrics for result in results):
            # The time was up before the first epoch of the first trial.
            print("RESULT " + json.dumps({"trials": 0, "test": None, "loss": None}))
            ray.shutdown()
            return
        best = results.get_best_result(scope="all")
        import torch

        config = best.config.get("trial", best.config)
        trial = work.Trial(
            **{name: config[name] for name in ("depth", "lr", "scale", "dropout", "weight_decay")}
        )
        loader = loaders(options, "test", train=False)
        model = model_of(options, trial, len(loader.dataset.classes))
        checkpoint = best.get_best_checkpoint("balanced_accuracy", "max")
        with checkpoint.as_directory() as at:
            model.load_state_dict(torch.load(Path(at) / "model.pth", weights_only=True))
        test, loss = score(model, loader)
        if arguments.predictions is not None:
            arguments.predictions.write_text(json.dumps(predictions(model, loader, options)))
        print("RESULT " + json.dumps({"trials": len(results), "test": test, "loss": loss}))
    ray.shutdown()


if __name__ == "__main__":
    main()
