"""Links each asset to its source: the file on this machine, or its page on GitHub or GitLab."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from dagster._core.definitions.assets.definition.cacheable_assets_definition import CacheableAssetsDefinition

from sequence_store.deployment import STACK, deployment
from sequence_store.settings import SourceTree

# What Dagster's functions take and return; this project has the first two kinds.
Asset = dg.AssetsDefinition | dg.AssetSpec | dg.SourceAsset | CacheableAssetsDefinition

PACKAGE = Path(__file__).parents[1]


def with_code_references(assets: Sequence[Asset], tree: SourceTree | None) -> Sequence[Asset]:
    """Return the assets with a reference to the function that computes each.

    `tree` is the source tree on the web. Without it the references are files of this machine, and a
    deployment has none: a person's editor cannot open the files of its image.
    """
    if tree is None and deployment() != STACK:
        return assets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        referenced = dg.with_source_code_references(assets)
        if tree is None:
            return referenced
        return dg.link_code_references_to_git(
            referenced,
            git_url=tree.repository,
            git_branch=tree.revision,
            platform=tree.platform,
            file_path_mapping=dg.AnchorBasedFilePathMapping(PACKAGE, PACKAGE.name),
        )
