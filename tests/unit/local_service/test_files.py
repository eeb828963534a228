"""`/v1/files` as OpenAI's SDK sees it."""

import openai
import pytest

from tests.unit.local_service.conftest import chats


def test_a_file_comes_back_as_it_was_sent(client, upload, exact):
    file = exact(upload(name="orders.jsonl"))

    assert (file.filename, file.purpose, file.status) == ("orders.jsonl", "fine-tune", "processed")
    assert file.bytes == len(chats())
    assert exact(client.files.retrieve(file.id)) == file
    assert client.files.content(file.id).read() == chats()


def test_files_are_listed_newest_first_by_purpose_and_page_by_page(client, upload):
    ids = [upload(name=f"{number}.jsonl").id for number in range(3)]

    assert [file.id for file in client.files.list(purpose="fine-tune")] == ids[::-1]
    assert [file.id for file in client.files.list(limit=1, order="asc")] == ids
    assert list(client.files.list(purpose="fine-tune-results")) == []


def test_a_deleted_file_is_gone_with_its_content(client, upload, world, exact):
    file = upload()

    assert exact(client.files.delete(file.id)).deleted
    with pytest.raises(openai.NotFoundError, match=file.id):
        client.files.retrieve(file.id)
    assert not [path for path in world.folder.rglob("*") if path.is_file() and b"order" in path.read_bytes()]


def test_files_outlive_the_process(world, upload):
    file = upload()
    world.restart()

    assert world.service.files.get(file.id).filename == "train.jsonl"


def test_an_upload_that_was_cut_off_is_swept_away(world, upload):
    file = upload()
    half = world.folder / "files" / "file-000000000000000000000000"
    half.mkdir()
    (half / "content").write_bytes(b"Where is")

    world.service.files.sweep()

    assert not half.exists()
    assert world.service.files.get(file.id)


@pytest.mark.parametrize("file_id", ["file-none", "..", "file-..%2F..%2Fsecret", "file-" + "0" * 24])
def test_no_other_name_reaches_a_file(http, file_id):
    answer = http.get(f"/v1/files/{file_id}")

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ["../../evil.jsonl", "C:\\temp\\evil.jsonl", "a/evil.jsonl"])
def test_a_name_with_a_path_keeps_its_last_part(upload, name):
    assert upload(name=name).filename == "evil.jsonl"


def test_what_is_no_training_file_is_refused_by_parameter(client):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.create(file=("picture.png", b"x"), purpose="vision")
    assert refusal.value.param == "purpose"

    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.create(file=("empty.jsonl", b""), purpose="fine-tune")
    assert refusal.value.param == "file"


def test_a_file_that_should_expire_is_refused_rather_than_kept(client):
    expiry = {"anchor": "created_at", "seconds": 3600}
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.create(file=("train.jsonl", chats()), purpose="fine-tune", expires_after=expiry)

    assert refusal.value.param == "expires_after"
    assert list(client.files.list()) == []
