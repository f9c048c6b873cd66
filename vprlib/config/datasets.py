"""The sections of the datasets: the rendered city, datasets of your own, and how a dataset is verified."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from vprlib.config.base import Section, Seed


class CityConfig(Section):
    """The size of the rendered city."""

    seed: Seed = Field(0, description="seed of the city: its streets, facades, photos and cars")
    height: PositiveInt = Field(96, description="height of a photo, pixels")
    width: PositiveInt = Field(128, description="width of a photo, pixels")
    blocks: PositiveInt = Field(6, description="blocks along each side of the city")
    spacing: PositiveFloat = Field(10, description="distance between two neighbouring places, metres")
    train_places: PositiveInt = Field(120, description="places of the training split, 12 database photos each")
    train_queries: PositiveInt = Field(1500, description="query photos of the training split")
    val_places: PositiveInt = Field(40, description="places of the validation split")
    val_queries: PositiveInt = Field(300, description="query photos of the validation split")
    test_places: PositiveInt = Field(40, description="places of the test split")
    test_queries: PositiveInt = Field(500, description="query photos of the test split")


class OwnDatasetConfig(Section):
    """A dataset of your own: a CSV with one row per image, or a folder of photos that carry their positions."""

    csv: str | None = Field(None, description="CSV file with one row per image; give this or `folder`")
    folder: str | None = Field(
        None, description="folder of photos with GPS in EXIF, with UTM in their names, or with one sub-folder per place"
    )
    radius: PositiveFloat = Field(25, description="largest distance of a hit from its query, in `unit`")
    unit: Literal["m", "frames"] = Field("m", description="unit of the positions: metres (UTM), or frame numbers")
    views_per_place: PositiveInt | None = Field(
        None, description="number of views per place; if given, only the first candidate of each place counts"
    )
    framing: Literal["fixed", "shorter", "crop", "five_mean", "five_nearest"] = Field(
        "fixed", description="how query photos of another shape are fitted to the input size of the network"
    )
    protocol: str = Field("own", description="name of the protocol in tables and figures")

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """A dataset has one source."""
        if (self.csv is None) == (self.folder is None):
            raise ValueError("give either `csv` or `folder`")
        return self


class VerifyConfig(Section):
    """The check of a dataset's photos, positions and splits."""

    max_hash_distance: int = Field(
        4,
        ge=0,
        le=31,
        description="largest number of bits, of 64, that differ in the perceptual hashes of near-duplicates",
    )
