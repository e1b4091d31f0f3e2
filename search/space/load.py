"""Space file -> StudySpec: the one way in.

Pure: text, settings, backbones' sizes, overrides and environment come in as
values. Every problem of the text is found in one go, each with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from search.problems import Place, Problem, SearchError
from search.space.colons import told_of_slip
from search.space.data_look import look_at_data
from search.space.domains import FloatRange, Space
from search.space.extends import KEY, Fetch, extend, no_files
from search.space.firsts import read_first
from search.space.full_depth import FullDepth, read_epochs_of
from search.space.idle_checks import check_idle
from search.space.misplaced import tell_unknown
from search.space.nodes import Entries, Node, Source, kind_of
from search.space.overrides import Override, apply
from search.space.patience_section import read_patience
from search.space.placed import Known, PlacedSpace
from search.space.points import grid_size, values
from search.space.reach import is_fixed
from search.space.reader import decode, read
from search.space.report import Report
from search.space.scalars import is_null
from search.space.sections import (
    read_budget,
    read_cache,
    read_checkpoints,
    read_data,
    read_objective,
    read_resources,
    read_sampler,
    read_scheduler,
)
from search.space.settings import Setting, SizeRule
from search.space.space_section import read_space
from search.space.spec import (
    METRICS_OF,
    Budget,
    CacheSpec,
    CheckpointsSpec,
    DataSpec,
    Resources,
    SamplerSpec,
    SchedulerSpec,
    StudySpec,
    WeightsSpec,
)
from search.space.study_section import read_storage, read_study
from search.space.task_checks import check_task
from search.space.weights_checks import check_weights, places_of_files
from search.space.weights_section import read_weights

SECTIONS = (
    "extends",
    "study",
    "data",
    "objective",
    "epochs",
    "space",
    "first",
    "weights",
    "sampler",
    "scheduler",
    "patience",
    "budget",
    "resources",
    "storage",
    "checkpoints",
    "cache",
)
"""The keys at the top of a space file, in the order of the documentation."""
SAMPLES = ("solar-cells",)
_MOST_COUNTED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A checked study, and what its author should know."""

    spec: StudySpec
    warnings: tuple[Problem, ...] = ()
    refused: SearchError | None = None
    """Why the images that it names cannot be used, at their place in the text."""
    extends: tuple[str, ...] = ()
    """The files that it extends, the nearest first."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where the domain of each param was written: a file, or a flag."""
    weights_files: Mapping[str, Place] = field(default_factory=dict)
    """Where ``weights.files`` names the file of each backbone."""


def load(
    text: str | bytes,
    *,
    file: str,
    settings: Mapping[str, Setting],
    sizes: Mapping[str, SizeRule],
    tags: Mapping[str, Sequence[str]] | None = None,
    overrides: Sequence[Override] = (),
    env: Mapping[str, str],
    samples: Collection[str] = SAMPLES,
    look: Callable[[DataSpec], SearchError | None] = lambda data: None,
    full_depth: FullDepth = lambda values: 1,
    extended: Fetch = no_files,
    identity: str = "",
) -> Loaded:
    """Read and check a whole space file.

    Args:
        text: The file's content; bytes are decoded as UTF-8.
        file: The file as the user named it; the study is named after it
            unless it names itself.
        settings: Everything a trial can vary, by name.
        sizes: Every backbone's size rule, by name.
        tags: The weights that each backbone can start from; None: no file names any.
        overrides: Values of the command line, applied before any check.
        env: Where ``${env:NAME}`` in ``storage`` is looked up.
        samples: Names that ``data.sample`` can take.
        look: Looks whether images are there: what is wrong with them is told
            together with the problems of the text, and alone stops nothing here.
        full_depth: The first epoch at the final depth of a trial with these settings
            (``full_depth.DECIDING``).
        extended: Reads the files that ``extends`` names.
        identity: Of this file, as ``extended`` would give it; by default ``file``.

    Raises:
        SearchError: With every problem found, if there is any; exit status 2.
    """
    report = Report(file)
    if isinstance(text, bytes):
        text = decode(text, file=file)
    source = Source(file, text.removeprefix("\ufeff"))
    node = read(source, report)
    if node is not None and not isinstance(node, Entries):
        if not told_of_slip(node, SECTIONS, report):
            fact = f"the file is {kind_of(node)}, not a mapping"
            report.error(node.place, fact, "space: {lr: 1e-3}")
        report.stop()
    root = node if isinstance(node, Entries) else None
    if root is None and not overrides:
        report.error(
            source.place(0, 1), "the file is empty", "data: {path: FOLDER}, then space: {...}"
        )
        report.stop()
    root = root or Entries(entries=(), place=source.place(0, 1))
    parents = tuple(override for override in overrides if override.path == KEY)
    root = apply(root, parents, SECTIONS, report)
    root = extend(root, identity=identity or file, fetch=extended, report=report)
    others = tuple(override for override in overrides if override.path != KEY)
    root = apply(root, others, SECTIONS, report)
    known = Known(settings=settings, sizes=sizes, tags=tags or {}, full_depth=full_depth)
    lenient = any(override.path.partition(".")[0] == "space" for override in overrides)
    sections = _Sections(root, known, report, lenient=lenient)
    spec = sections.spec(file, env, samples)
    refused = look_at_data(root, spec, samples, look)
    if report.errors and refused is not None:
        report.problems += refused.problems
    report.stop()
    return Loaded(
        spec=spec,
        warnings=report.warnings,
        refused=refused,
        extends=report.inherited,
        origins=sections.origins,
        weights_files=sections.weights_files,
    )


class _Sections:
    """The top of the tree, each key read by its own reader."""

    def __init__(self, root: Entries, known: Known, report: Report, *, lenient: bool) -> None:
        self._root = root
        self._lenient = lenient
        self._known = known
        self._report = report
        self.origins: dict[str, str] = {}
        self.weights_files: Mapping[str, Place] = {}

    def spec(self, file: str, env: Mapping[str, str], samples: Collection[str]) -> StudySpec:
        report, known = self._report, self._known
        for entry in self._root.entries:
            if entry.name not in SECTIONS:
                tell_unknown(entry, self._root, known.settings, SECTIONS, report)
        name, seed = read_study(self._of("study"), file, report)
        space = read_space(self._of("space"), known, report, lenient=self._lenient)
        self.origins = {param.name: param.node.place.file for param in space.params}
        firsts = read_first(self._of("first"), space, known, report)
        objective = self._of("objective")
        epochs = self._of("epochs")
        weights = self._of("weights")
        self.weights_files = places_of_files(weights)
        sampler = self._of("sampler")
        scheduler = self._of("scheduler")
        stops = read_scheduler(scheduler, report) if scheduler else SchedulerSpec()
        patience = self._of("patience")
        budget = self._of("budget")
        resources = self._of("resources")
        checkpoints = self._of("checkpoints")
        cache = self._of("cache")
        data = self._of("data")
        spec = StudySpec(
            name=name,
            seed=seed,
            data=(images := read_data(data, self._root, samples, report)),
            objective=read_objective(objective, report, images.task)
            if objective
            else METRICS_OF[images.task][0],
            epochs=read_epochs_of(
                epochs,
                space,
                known.settings,
                known.full_depth,
                report,
                compares=stops.name != "none",
            ),
            space=space.space if space.sound else Space(params=()),
            first=firsts.points,
            default_first=firsts.default_first,
            weights=read_weights(weights, known, report) if weights else WeightsSpec(),
            sampler=read_sampler(sampler, report) if sampler else SamplerSpec(),
            scheduler=stops,
            patience=read_patience(patience, report) if patience else None,
            budget=read_budget(budget, report) if budget else Budget(),
            resources=read_resources(resources, report) if resources else Resources(),
            storage=read_storage(self._of("storage"), env, report),
            checkpoints=read_checkpoints(checkpoints, report) if checkpoints else CheckpointsSpec(),
            cache=read_cache(cache, report) if cache else CacheSpec(),
        )
        if space.sound:
            self._check_search(spec, space)
            check_task(spec.data.task, space, report)
            check_weights(weights, spec.space, known, report, lenient=self._lenient)
            check_idle(spec.data.task, space, known.settings, report)
        return spec

    def _of(self, name: str) -> Node | None:
        """The section; one without a value is reported and passed over."""
        entry = self._root.get(name)
        if entry is None:
            return None
        if is_null(entry.value):
            self._report.error(entry.key.place, f"{name} has no value", "give it one, or remove it")
            return None
        return entry.value

    def _check_search(self, spec: StudySpec, space: PlacedSpace) -> None:
        """What the sampler cannot do with this space, or would waste."""
        report = self._report
        trials = spec.budget.trials
        if is_fixed(spec.space):
            entry = self._root.get("space")
            if trials is None or trials > len(spec.first):
                report.warn(
                    entry.key.place if entry else None,
                    "the space leaves nothing to search: all trials have the same settings",
                    "lr: {float: [1e-4, 1e-2], log: true}",
                )
            return
        if spec.sampler.name != "grid":
            return
        continuous = False
        for param in spec.space.params:
            for branch in param.branches:
                if isinstance(branch.domain, FloatRange) and values(branch.domain) is None:
                    continuous = True
                    written = next(
                        placed
                        for placed in space[param.name].branches
                        if placed.domain == branch.domain
                    )
                    report.error(
                        written.place, f"{param.name}: a grid needs steps for a float", "steps: 4"
                    )
        if continuous or trials is None:
            return
        size = grid_size(spec.space, _MOST_COUNTED)
        if size > trials:
            at_least = "at least " if size == _MOST_COUNTED else ""
            entry = self._root.get("budget")
            report.warn(
                entry.value.place if entry else None,
                f"the grid has {at_least}{size:,} points, the budget is {trials} trials",
                f"budget: {{trials: {size}}}",
            )
