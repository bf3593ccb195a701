"""Where a data set's files are: a folder, archives, or addresses that are downloaded."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch
import requests

from foldwise.core.errors import UserError
from foldwise.sources.archives import is_archive
from foldwise.sources.settings import Download
from foldwise.starting.finding import Given


def given_by(words: list[str], downloads: Path, path: str) -> Given:
    """What the words of a command line mean.

    Args:
        words: a folder, or archives, or addresses.
        downloads: folder of downloaded files.
        path: `data.path` of a data set that is downloaded.

    Raises:
        UserError: they are nothing that `data.path` can be.
    """
    addresses = [each for each in words if each.startswith(("http://", "https://"))]
    if addresses and len(addresses) < len(words):
        raise UserError(
            "DATA: files and addresses cannot be mixed; download them, or name one kind"
        )
    if addresses:
        wanted = tuple(_downloaded(each, downloads) for each in addresses)
        return Given([_kept(each, downloads) for each in wanted], path, wanted)
    paths = [Path(each) for each in words]
    for each in paths:
        if not os.path.exists(each):  # noqa: PTH110  # which raises nothing where it may not look
            raise UserError(f"{each}: no such file or folder")
    if len(paths) > 1:
        paths = [_folder_of(paths)]
    return Given(paths, _written(paths[0]))


def _written(path: Path) -> str:
    """As params.yaml has it: relative if it lies in the repository, else from the disk's root."""
    whole = path.resolve()
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)


def _folder_of(paths: list[Path]) -> Path:
    """The folder that holds several files, and nothing else that counts."""
    folders = {each.resolve().parent for each in paths}
    if len(folders) > 1:
        raise UserError("DATA: lies in several folders; put it into one, and name that")
    folder = folders.pop()
    named = {each.name for each in paths}
    others = [
        each.name
        for each in sorted(folder.iterdir())
        if each.name not in named and (each.is_dir() or is_archive(each.name))
    ]
    if others:
        raise UserError(
            f"{folder}: holds {others[0]} too, and data.path is a folder or one archive; put what "
            "belongs together into a folder, and name that"
        )
    return folder


def _downloaded(address: str, folder: Path) -> Download:
    """The file of an address, where `fetch` will look for it, by its checksum."""
    name = Path(unquote(urlsplit(address).path)).name
    if not name:
        raise UserError(f"{address}: names no file")
    folder.mkdir(parents=True, exist_ok=True)
    # It would tell the checksum, which params.yaml will hold.
    pooch.get_logger().setLevel("WARNING")
    try:
        path = Path(pooch.retrieve(address, None, f"{name}.new", folder, progressbar=False))
    except (requests.RequestException, ValueError, OSError) as error:
        raise UserError(f"{address}: cannot be downloaded ({type(error).__name__})") from None
    wanted = Download(url=address, checksum=f"sha256:{pooch.file_hash(str(path), 'sha256')}")
    kept = _kept(wanted, folder)
    kept.parent.mkdir(parents=True, exist_ok=True)
    path.replace(kept)
    return wanted


def _kept(wanted: Download, folder: Path) -> Path:
    """As `foldwise.sources.download` has it."""
    name = Path(unquote(urlsplit(wanted.url).path)).name
    return folder / wanted.checksum.replace(":", "-") / name
