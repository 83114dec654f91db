"""Every bound on what is held, read, waited for and tried: its unit, and what happens there.

The range of a value that a form accepts stands with the form, where JSON Schema tells it; the
number of steps of a numerical method stands with the method.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds with units. Pass another instance to change one; nothing reads a global.

    >>> Limits(max_keys=10).max_keys
    10
    """

    # documents of people: contracts, cameras, pipelines
    max_document_bytes: int = 1 << 20
    """One YAML, camera or homography file. A larger one is refused before it is parsed."""
    max_document_levels: int = 64
    """Levels within levels of one document, YAML or JSON. More is refused as it is parsed."""
    max_document_values: int = 1_000_000
    """Values in one YAML file with every alias written out. More is refused before any is made."""
    max_manifest_bytes: int = 256 << 20
    """``run.json`` of a run directory, which holds its tables of subjects."""
    max_control_file_bytes: int = 64 << 20
    """A file of operator inputs that is read at the start of a run. A larger one is refused."""
    max_expression_chars: int = 4096
    """One SQL expression. A longer one is a PipelineError, unread."""
    max_expression_depth: int = 32
    """Brackets, functions, CASE, NOT and signs within each other in one. More: PipelineError."""
    max_expression_parts: int = 256
    """Columns, numbers, operators and functions in one. More is a PipelineError."""

    # sense
    max_line_bytes: int = 1 << 20
    """One text line. A longer line is quarantined LINE_TOO_LONG without being parsed."""
    max_files: int = 4096
    """Files in one source directory. More is a SourceError before anything runs."""
    max_file_bytes_in_memory: int = 1 << 30
    """A file format that cannot be streamed (NumPy archive). Larger: quarantined FILE_TOO_LARGE."""
    clock_rows_ahead: int = 1 << 18
    """Rows of a file read ahead, to tell whether a clock that jumped comes back. A longer excursion
    is believed, and the rows after it are late."""
    chunk_rows: int = 1 << 18
    """Rows a source reads at a time, so a file of any size needs bounded memory."""
    max_raw_chars: int = 4096
    """Characters of a refused row kept for a person to read; the rest is cut with an ellipsis."""

    spill_bytes: int = 8 << 30
    """Rows of one live source that wait on disk. At the bound its reader waits."""
    max_spill_header_bytes: int = 4096
    """Header of a chunk on disk. A longer one is damage, and its rows are FILE_UNREADABLE."""
    router_cache_keys: int = 1 << 20
    """Keys whose partition is remembered; that of further ones is worked out each time."""
    stop_check_s: float = 0.1
    """Whoever waits for rows or frames looks this often whether it was stopped."""
    reader_join_s: float = 2.0
    """Time a reader thread gets to end; one that hangs in a read is left behind as a daemon."""
    max_quiet_ticks: int = 10_000
    """Empty epochs given in a row. A longer gap in finite data is jumped over."""

    # brokers
    broker_answer_s: float = 5.0
    """Time for one answer of a broker; then the connection counts as broken."""
    broker_retry_s: float = 5.0
    """Longest wait between two tries to reach a broker that is gone; the first is
    ``reconnect_first_s``, and each is twice the one before."""
    broker_waiting_bytes: int = 64 << 20
    """Messages of one stream that wait between connection and reader. At the bound no more are
    asked for: the broker keeps them."""
    broker_gone_s: float = 300.0
    """A broker that has not answered for so long ends the run with a SourceError; what came is
    kept, and a resume goes on behind it."""
    max_message_bytes: int = 64 << 20
    """One message of a broker. A larger one is quarantined FILE_TOO_LARGE, unread."""
    max_message_rows: int = (1 << 20) - 1
    """Rows of one message. One with more is quarantined FILE_UNREADABLE as a whole."""

    # cameras
    max_frame_px: int = 1 << 26
    """Pixels of one picture. A larger one is refused TOO_LARGE, undecoded."""
    max_image_bytes: int = 64 << 20
    """One image file. A larger one is refused TOO_LARGE, unread."""
    max_images: int = 1_000_000
    """Images in one directory. More is a SourceError before anything runs."""
    max_times_bytes: int = 64 << 20
    """File with the times of images. A larger one is a SourceError."""
    recovery_frames: int = 300
    """Pictures refused REFERENCE_DAMAGED after a corrupt packet. Streams without key frames renew
    the whole picture within fewer."""
    reorder_frames: int = 16
    """Packets a decoder may hold back (16 in H.264 and H.265). An older time is forgotten."""
    mailbox_frames: int = 1
    """Frames of a live camera that wait. At the bound the newest wins, the oldest is counted as
    superseded."""
    waiting_faults: int = 256
    """Faults of a live camera that wait to be taken; further ones are only counted."""
    alert_picture_bytes: int = 256 << 20
    """Pictures of what was raised that one opening of a run logs (``images: {keep: alerts}``), as
    logged; some 4,000 of 640 x 480 pixels. Beyond it no more are kept, and they are counted."""
    tape_packets: int = 4096
    """Compressed packets of a camera that wait to be logged. At the bound new ones are lost up to
    the next key packet, and counted."""
    tape_bytes: int = 64 << 20
    """The same in bytes."""
    reconnect_first_s: float = 0.5
    """Wait before a camera that gave frames is tried again; doubled after each try without any."""
    reconnect_cap_s: float = 30.0
    """Longest such wait. There is no last try: a camera may come back after a week."""
    open_timeout_s: float = 5.0
    """Time for a live camera to answer; then it is tried again."""
    read_timeout_s: float = 5.0
    """Time between two packets of a live camera before it counts as gone, and is tried again."""

    # detections on a map
    tile_zoom: int = 26
    """z of map tiles: 60 cm at the equator, finer than any position. More is a UsageError."""
    tile_picture_px: int = 4096
    """Tiles beside each other in a picture of them. More is a UsageError."""

    # state of a partition
    max_keys: int = 1_000_000
    """Distinct keys in one partition. Rows of further keys are quarantined KEY_LIMIT."""
    max_open_rows: int = 20_000_000
    """Rows held for open or revisable windows. Beyond it rows are dropped: BUFFER_FULL."""
    max_learnt_series: int = 200_000
    """Series (keys times measures) that one learning stage follows in one partition. Further keys
    get no score, and their series are counted as without room."""
    max_commands_of_key: int = 20_000
    """Commands to one key that a stage which reads them remembers. Beyond it the oldest go."""
    max_versions: int = 1_000
    """Versions that a stage which compares them remembers. Further ones are not judged, and
    counted."""
    max_open_decisions: int = 1_000_000
    """Decisions that may still be revised, per partition. Beyond it the oldest become final."""
    max_standing: int = 10_000
    """Conditions seen by cameras that stand at a time. Further ones are not said until some are
    cleared, and counted; machines heed them all the same."""

    # parts
    open_parts: int = 4096
    """Parts of a line that wait for their decision. Beyond it the oldest is decided on what there
    is, TOO_MANY_PARTS."""
    gone_parts: int = 1024
    """Decided parts whose place is remembered, so that a picture or trigger that comes again is
    known as theirs. One of an older part counts as of none."""
    waiting_pictures: int = 4096
    """Pictures that wait for their part. At the bound the oldest counts as of none."""
    belt_readings: int = 1 << 16
    """Readings of an encoder that are kept, per line. At the bound the oldest are forgotten, and
    parts of before lie where the oldest one that is left says."""
    known_serials: int = 1 << 14
    """Serial numbers among which a duplicate is found, per line. Older ones are forgotten."""

    # log
    max_entry_bytes: int = 256 << 20
    """One log entry. A larger one is refused on write, and is corruption on read."""
    max_summary_bytes: int = 64 << 20
    """Summary at the end of a log segment. A larger one is not believed; the segment is read."""
    write_buffer_bytes: int = 1 << 20
    """Small entries are gathered into writes of this size; larger ones go straight through."""
    segment_bytes: int = 64 << 20
    """Size at which a log segment is finished and the next begun."""
    segment_age_s: float = 3600.0
    """Age at which a log segment is finished, by the time stamps of its entries."""
    log_bytes: int = 64 << 30
    """Size of one partition's log. Beyond it the run stops with a StorageError, never silently."""
    max_checkpoint_bytes: int = 4 << 30
    """One checkpoint file. A larger one is refused on write, and is corruption on read."""
    checkpoints_kept: int = 2
    """Checkpoints kept per partition; older ones are deleted after a newer one is durable."""

    max_unpacked_bytes: int = 1 << 30
    """Rows of one log entry or checkpoint when unpacked. More is refused on write, and damage on
    read, before anything is unpacked."""

    # act
    outbox_rows: int = 100_000
    """Undelivered alerts, those that were refused for good included. Beyond it the ledger waits
    behind the log until some are taken or discarded: an alert is never dropped."""
    delivery_wait_s: float = 300.0
    """Longest wait between two attempts of an alert, whatever its receiver asks for. There is no
    last attempt: a receiver may come back after a week."""
    delivery_alarm_s: float = 60.0
    """A receiver that has taken none of the alerts that wait for it for so long is told of."""
    delivery_pass_s: float = 2.0
    """Time deliveries may take in one pass; what is left waits for the next."""
    delivery_timeout_s: float = 5.0
    """Time for one delivery attempt."""
    outlet_keys: int = 1_000_000
    """Idempotency keys of a file of alerts or commands, some 200 bytes each in memory. Beyond it
    the oldest is forgotten, and what has it would be written a second time if it came again."""

    # runtime
    max_epoch_rows: int = 4_000_000
    """Rows of one epoch. A denser one is cut into several steps with the same tick."""
    epochs_in_flight: int = 8
    """Epochs sent to a worker and not yet acknowledged; at the bound the reader waits."""
    max_partitions: int = 1024
    """Logical partitions of a pipeline; more is a PipelineError."""
    max_workers: int = 64
    """Worker processes; more is a UsageError."""
    worker_join_s: float = 10.0
    """Time a worker process gets to end; then it is killed."""
    worker_start_s: float = 180.0
    """Time for an actor of Ray to find a free core and to start. Then the run ends with a
    WorkerError, or goes on from its checkpoints with as many as there are cores."""
    worker_answer_s: float = 900.0
    """Time a worker process may take for what lies between two commits. Beyond it the run ends with
    a WorkerError: somebody has stopped the process, or the machine has no time for it."""
    worker_restarts: int = 10
    """Times that a run on Ray goes on from its checkpoints after an actor or its machine has died.
    Then it ends with a WorkerError."""
    commit_rows: int = 400_000
    """Rows fed between two commits at full speed; more than these are never lost by a crash."""
    quiet_commits: int = 64
    """Commits of frames without a decision after which the ledger hears of them all the same."""
    ledger_waiting: int = 50_000
    """Commits, decisions and messages that wait in memory for the ledger. At the bound a run of
    files waits; one by the clock lets them go, and they are read from the log again."""
    ledger_group: int = 5_000
    """Decisions and messages of the log that are stored in one transaction; whole commits."""
    ledger_finish_s: float = 10.0
    """Time for a ledger that stores nothing when the sources have ended. Then the run ends without
    it, with the exit code of its error, and the next resume brings it up to date."""
    drain_s: float = 10.0
    """Time for alerts that are left when the sources have ended. The rest stays in the outbox."""
    silent_camera_s: float = 1.0
    """A camera that gave nothing for so long is not waited for when others fill a batch."""
    feed_wait_s: float = 0.05
    """Longest wait for a frame, so that a stop is heeded and the next batch looked for in time."""
    learning_samples: int = 1 << 22
    """Samples that a learning stage is given at a time, missing ones counted: 32 MiB. Keys beyond
    it take turns."""
    waiting_controls: int = 10_000
    """Operator inputs whose time has not come. Beyond it the earliest takes effect early."""
    known_controls: int = 10_000
    """Newest ids of operator inputs that are remembered. An older one would be taken twice."""
    control_line_bytes: int = 1 << 16
    """One line of a file of operator inputs. A longer one is refused, and counted."""

    # jobs over files at rest (`sightline kpi`, `sightline batch`)
    kpi_rows_at_once: int = 6_000_000
    """Rows that one step of the KPI job holds. A window with more is computed for a part of its
    subjects after the other, each part within this bound where no single subject has more."""
    kpi_windows: int = 2_000_000
    """Windows of metrics in one run of the job; more is a UsageError: narrow the range."""
    max_objects: int = 1_000_000
    """Files at one location of a job; more is a SourceError."""
    max_secret_bytes: int = 1 << 16
    """A mounted file with one setting. A larger one is a UsageError."""
    object_tries: int = 8
    """Times that one request to object storage is tried again, with growing waits."""
    object_wait_s: float = 180.0
    """Time for all tries of one request."""
    object_answer_s: float = 30.0
    """Time for one answer of object storage."""

    # what is looked at before a run (`sightline doctor`)
    doctor_answer_s: float = 3.0
    """Time for a database or broker to answer. Longer is a fault that is told."""
    doctor_skew_s: float = 2.0
    """Difference between the clocks of two machines that is no fault yet."""
    doctor_free_bytes: int = 1 << 30
    """Free disk below which a run is not begun gladly; told as a fault."""

    # pages and pictures of a run
    report_rows: int = 200
    """Newest decisions that a report lists, each that raised something with its account. Older
    ones are in `sightline decisions`."""
    report_pictures: int = 12
    """Alerts of rows, and as many of cameras, that a report shows with their picture: the worst, of
    each kind in turn. The others are told in words."""

    # metrics
    metrics_requests: int = 16
    """Requests of metrics and health at a time; one more is hung up on."""

    # the page of a run (`sightline serve`)
    console_subjects: int = 20_000
    """Subjects whose newest decisions are kept for the page. Beyond it the oldest of which nothing
    stands is forgotten there, and counted; the log has all."""
    console_decisions: int = 200
    """Newest decisions that the page lists; older ones are in `sightline decisions`."""
    console_read_s: float = 1.0
    """Time one look at the log may take. What is left is read at the next, and the page says so."""
    console_rest: float = 4.0
    """After a look the log rests this many times as long as the look took, and at least for the
    time between two refreshes: the page takes a fifth of one core at most."""
    console_accounts: int = 32
    """Explanations that are kept ready. Beyond it the oldest is worked out again when asked for."""
    console_requests: int = 16
    """Requests to the page that are answered at a time. A further one is hung up on."""
    console_request_s: float = 10.0
    """Longest silence of a browser amid a request or an answer; then it is hung up on."""
    console_body_bytes: int = 1 << 14
    """One form that is sent to the page. A larger one is refused, unread."""
    console_mask_bytes: int = 2 << 20
    """The same of a form with a painted mask."""

    # isolated detectors
    answer_s: float = 60.0
    """Longest wait for one answer where no deadline holds. Of a recording: whoever is asked then
    counts as hung and is not asked again in this run. Of a frame that is shown again on resume: the
    run stops, a UsageError."""
    worker_end_s: float = 2.0
    """Time for an answer that is still being worked on when a run ends. What takes longer is left
    behind, and its answer is thrown away."""
    detector_reap_s: float = 5.0
    """Time for the operating system to end a killed process of a detector; then it is reported as
    still there."""
    detector_alarm_s: float = 1.0
    """A process of a detector ends itself this long after the time its answer had: the run that
    should have killed it is no more."""
    detector_first_wait_s: float = 1.0
    """Before the second start in a row; the first is at once."""
    max_raised_chars: int = 2_000
    """Characters kept of what a process of a detector raised."""
    detector_hang_s: float = 5.0
    """Beyond its budget_s an isolated detector may be late by this; then its process is killed and
    started again."""
    detector_look_s: float = 0.05
    """Between two looks at whether a process that is late was stopped by a signal, seconds: then it
    is killed at once."""
    detector_start_s: float = 60.0
    """Time to start the process of a detector, and again to build it. Longer: killed; before the
    first frame that is a PipelineError, later it is tried again."""
    detector_restart_s: float = 60.0
    """Longest wait before a dead process of a detector is started again. Waits double from
    ``detector_first_wait_s`` up to it, and begin anew after a life of this length; starts are
    tried for ever."""
    detector_message_bytes: int = 16 << 20
    """One message to or from the process of a detector, pictures apart. A larger answer of the
    detector is its CRASH outcome."""


DEFAULT_LIMITS = Limits()
