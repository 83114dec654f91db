"""The tests that keep what each case taught: a case needs a folder, which the suite has not.

Cases that held already on the code that they were made on have theirs here too.
"""

from __future__ import annotations

from collections.abc import Mapping

TESTS: Mapping[str, tuple[str, ...]] = {
    "telemetry/01-one-bad-time-cell-loses-the-file": (
        "evidence/test_damaged_tables.py::test_any_one_damaged_cell_costs_at_most_its_row",
        "evidence/test_damaged_tables.py::test_a_row_of_units_below_the_header_costs_itself",
    ),
    "telemetry/02-strong-event-hides-others": (
        "evidence/test_detected_events.py::test_a_weak_event_beside_a_strong_one_is_told_and_marked",
        "evidence/test_detected_events.py::test_weaker_events_that_are_left_out_are_counted",
    ),
    "telemetry/03-repeated-fault-told-once": (
        "evidence/test_detected_events.py"
        "::test_equal_dropouts_of_a_short_recording_are_events_of_their_own_and_nothing_else_is",
    ),
    "telemetry/04-numbers-it-cannot-read-vanish": (
        "sense/test_written_numbers.py::test_numbers_of_people_are_read",
    ),
    "telemetry/05-type-guessed-from-10000-rows": (
        "evidence/test_damaged_tables.py::test_a_type_that_shows_late_is_the_type_of_the_column",
    ),
    "telemetry/06-unreadable-times-end-well": (
        "sense/test_written_times.py::test_a_form_that_can_mean_one_thing_is_read",
        "sense/test_written_times.py::test_a_form_that_can_mean_two_things_is_shown_and_not_read",
        "evidence/test_damaged_tables.py"
        "::test_a_table_of_which_most_cannot_be_read_is_an_error_with_an_example",
    ),
    "telemetry/07-one-time-sets-the-unit-of-all": (
        "sense/test_written_times.py"
        "::test_one_number_of_another_unit_is_unbelievable_and_moves_no_other",
    ),
    "telemetry/08-calendar-numbers-read-as-epoch": (
        "sense/test_written_times.py::test_a_form_that_can_mean_one_thing_is_read",
        "evidence/test_damaged_tables.py"
        "::test_days_that_may_be_seconds_are_read_with_the_option_that_the_error_names",
    ),
    "telemetry/09-devices-merged": ("evidence/test_damaged_tables.py::test_keys_are_texts",),
    "telemetry/10-output-overwrites-the-input": (
        "evidence/test_damaged_tables.py::test_nothing_is_written_over_the_input",
    ),
    "telemetry/11-periodic-series-alarm": (
        "evidence/test_detected_events.py::test_a_strictly_periodic_series_raises_no_event",
    ),
    "telemetry/13-tracebacks": (
        "evidence/test_damaged_tables.py::test_numbers_are_read_whatever_holds_them",
        "evidence/test_damaged_tables.py::test_a_column_that_holds_no_numbers_is_refused_by_name",
        "evidence/test_damaged_tables.py::test_a_picture_of_an_unknown_kind_is_refused_before_the_work",
    ),
    "telemetry/15-clock-excursion-of-ten-rows": (
        "sense/test_clock_excursions.py::test_any_excursion_that_returns_costs_only_its_own_rows",
    ),
    "telemetry/16-one-line-kills-detect": (
        "evidence/test_damaged_tables.py::test_any_one_damaged_cell_costs_at_most_its_row",
        "evidence/test_damaged_tables.py::test_the_table_is_found_in_what_stands_around_it",
    ),
    "telemetry/18-many-keys-slow": (
        "evidence/test_damaged_tables.py::test_many_series_are_told_by_their_number",
        "evidence/test_damaged_tables.py::test_many_keys_are_told_apart_as_one_by_one",
    ),
    "cameras/01-score-below-0.7-never-exists": (
        "perceive/tracking/test_tracker.py::test_weak_evidence_over_several_frames_begins_a_track",
        "perceive/tracking/test_tracker.py"
        "::test_every_detection_is_in_a_track_or_counted_as_left_aside",
    ),
    "cameras/02-motion-blind-and-calm": (
        "runtime/test_false_calm.py::test_a_machine_is_never_calm_while_somebody_is_in_the_pit",
        "perceive/detect/test_motion_doubt.py::test_who_steps_in_as_the_light_changes_is_seen",
    ),
    "cameras/03-onnx-misread-silently": (
        "perceive/detect/test_onnx_layouts.py::test_metadata_tell_the_boxes_of_rt_detr",
        "perceive/detect/test_onnx_layouts.py"
        "::test_boxes_within_0_to_1_are_shares_also_where_nothing_was_found",
        "perceive/detect/test_onnx_layouts.py"
        "::test_boxes_of_which_none_has_an_area_are_a_failure_and_not_silence",
    ),
    "cameras/04-fast-objects-never-tracked": (
        "perceive/tracking/test_tracker.py"
        "::test_a_lone_car_is_followed_at_any_speed_and_frame_rate",
    ),
    "cameras/05-recording-loses-frames-and-aborts": (
        "runtime/engine/test_looking.py"
        "::test_without_deadlines_no_delay_of_anyone_changes_an_outcome",
        "runtime/engine/test_looking.py"
        "::test_an_answer_that_is_being_worked_on_at_the_end_is_waited_for",
    ),
    "cameras/06-onnx-advice-is-refused": (
        "perceive/detect/test_onnx_detector.py::test_class_names_may_be_a_list",
        "perceive/detect/test_onnx_detector.py::test_a_model_that_leaves_its_size_open_needs_one",
        "perceive/detect/test_onnx_layouts.py::test_one_class_and_six_columns_are_ambiguous",
    ),
    "cameras/07-rtsp-first-key-frame-dropped": (
        "sense/frames/test_live_camera.py"
        "::test_a_camera_whose_key_frames_are_far_apart_is_seen_from_the_first_one_on",
    ),
    "cameras/08-rotation-ignored": (
        "sense/frames/test_turned_videos.py"
        "::test_a_video_is_turned_and_mirrored_as_its_display_matrix_says",
    ),
    "cameras/09-nothing-usable-is-exit-0": (
        "runtime/test_unusable_cameras.py::test_why_nothing_of_a_recording_could_be_used_is_said",
    ),
    "cameras/10-track-memory-by-frame-number": (
        "evidence/tracking/test_track_commands.py"
        "::test_updates_go_with_detections_and_not_with_the_numbers_of_frames",
        "evidence/tracking/test_track_commands.py::test_times_as_frame_numbers_are_noted",
    ),
    "cameras/11-tracebacks": (
        "evidence/tracking/test_site_scores.py::test_an_unknown_camera_is_named",
    ),
    "cameras/13-recordings-start-together": (
        "sense/frames/test_awkward_recordings.py"
        "::test_a_recording_begins_so_many_seconds_after_its_start",
        "sense/frames/test_awkward_recordings.py::test_a_recording_can_begin_when_it_says_itself",
    ),
    "cameras/14-evaluate-drops-truth-by-class": (
        "evidence/tracking/test_track_commands.py"
        "::test_truth_of_classes_that_are_not_scored_is_said",
    ),
    "reliability/00_setup": (
        "cli/test_commands.py::test_a_replay_of_the_same_bytes_exits_with_zero",
        "cli/test_commands.py::test_verify_prints_the_equation",
    ),
    "reliability/01_kill9": (
        "runtime/engine/test_killed_runs.py::test_a_killed_run_comes_to_the_same_end",
        "runtime/engine/test_killed_runs.py"
        "::test_a_run_whose_worker_is_killed_ends_with_its_own_exit_code_and_goes_on",
    ),
    "reliability/02_sql_reads_files": (
        "perceive/test_window_expression.py::test_what_the_language_does_not_name_is_refused",
        "perceive/test_window_expression.py::test_nothing_of_an_expression_is_read_by_a_sql_engine",
    ),
    "reliability/04_live_retry": (
        "act/test_delivery.py::test_an_alert_that_may_be_taken_later_is_never_given_up",
        "act/test_delivery.py::test_the_thread_delivers_what_there_is_and_draining_ends_it",
    ),
    "reliability/05_webhook": (
        "act/test_webhook.py::test_these_answers_are_permanent",
        "act/test_webhook.py::test_retry_after_is_honoured_up_to_a_cap",
        "act/test_delivery.py::test_an_outlet_that_hangs_holds_nobody_up",
    ),
    "reliability/06_orphan_worker": (
        "runtime/engine/test_killed_runs.py"
        "::test_workers_that_wake_after_their_coordinator_was_killed_harm_nothing",
        "runtime/test_run_lock.py::test_a_child_that_a_killed_writer_left_behind_holds_up_nobody",
    ),
    "reliability/07_disk": (
        "recorder/test_log_recovery.py::test_a_full_disk_keeps_what_was_committed",
        "recorder/test_storage.py::test_a_full_quota_says_to_free_space",
    ),
    "reliability/08_injection": (
        "records/test_shown_text.py::test_markup_is_xml_whatever_the_text",
        "cli/test_console.py::test_a_table_has_no_escape_sequence_of_data_in_it",
        "cli/test_console.py::test_an_error_is_four_lines_whatever_is_in_it",
    ),
    "reliability/09_secrets": (
        "act/test_outlet.py::test_an_address_without_a_known_scheme_is_refused_unrepeated",
        "cli/test_option_values.py::test_a_password_in_an_address_is_in_no_error_message",
    ),
    "reliability/10_verify_gaps": (
        "runtime/test_verification.py::test_any_missing_file_is_found",
        "runtime/test_verification.py::test_whatever_is_removed_whole_is_found",
        "runtime/test_verification.py::test_any_file_of_another_run_with_the_same_input_is_found",
        "runtime/test_verification.py::test_a_log_that_was_cut_and_finished_anew_is_found",
        "runtime/test_verification.py::test_any_edit_of_run_json_is_found",
        "runtime/test_verification.py::test_a_head_with_a_typing_error_is_refused",
        "runtime/test_verification.py::test_a_head_of_an_earlier_moment_holds_and_another_does_not",
    ),
    "reliability/11_bitflips": (
        "runtime/test_verification.py::test_any_changed_bit_of_any_file_is_found",
    ),
    "reliability/13_ledger": (
        "runtime/test_verification.py::test_any_changed_row_of_the_ledger_is_found",
        "runtime/test_ledger_keeping.py::test_a_ledger_that_is_deleted_is_made_again",
    ),
    "reliability/14_site_shell": (
        "runtime/test_ledger_keeping.py"
        "::test_a_run_whose_ledger_is_locked_ends_and_says_so_and_a_resume_tells_every_alert",
        "act/test_command_sender.py::test_an_actuator_that_hangs_is_left_behind",
    ),
    "reliability/15_determinism": (
        "runtime/engine/test_equivalence.py::test_worker_processes_decide_the_same",
    ),
    "reliability/16_load": (
        "runtime/test_live_runs.py::test_latest_counts_what_gave_way_as_superseded",
        "runtime/test_live_runs.py::test_spill_decides_everything_and_leaves_nothing_on_disk",
        "runtime/engine/test_open_decisions.py"
        "::test_the_report_of_a_run_says_what_the_bound_has_cost",
    ),
    "reliability/17_deadlines": (
        "runtime/engine/test_answering_windows.py::test_a_late_process_is_a_timeout",
        "runtime/engine/test_isolated.py"
        "::test_a_spare_answers_the_request_after_the_one_that_killed_the_process",
    ),
    "reliability/18_yaml": (
        "sense/test_yaml_form.py::test_a_key_given_twice_is_refused_at_any_depth_with_both_lines",
        "sense/test_yaml_form.py::test_aliases_that_multiply_are_refused_before_anything_is_made",
        "sense/test_yaml_form.py::test_levels_are_bounded_whatever_makes_them",
        "sense/test_yaml_form.py::test_a_large_file_is_refused_before_it_is_parsed",
    ),
    "reliability/19_mqtt": (
        "act/test_command_receiver.py::test_a_stop_wins_over_a_command_that_claims_to_be_newer",
        "act/test_command_receiver.py::test_a_command_that_is_not_signed_with_the_key_is_refused",
        "act/test_mqtt_secrets.py::test_a_broker_that_cannot_prove_itself_is_not_entered",
    ),
    "reliability/20_clock": (
        "runtime/test_live_runs.py::test_a_clock_that_is_set_is_a_decision_that_replays",
    ),
    "reliability/21_interop": (
        "recorder/test_log_append_and_read.py"
        "::test_other_mcap_readers_see_every_entry_on_its_channel",
        "recorder/test_log_format.py::test_the_heads_are_those_that_the_page_says",
    ),
    "reliability/23_bombs": (
        "recorder/test_arrow_stream.py"
        "::test_rows_that_unpack_to_more_than_the_bound_are_refused_unpacked_by_nobody",
    ),
    "reliability/24_sql_order": (
        "perceive/test_canonical_order.py::test_arrival_order_cannot_show_in_a_single_bit",
        "runtime/engine/test_equivalence.py"
        "::test_arrival_displaced_within_the_allowance_ends_with_the_same_decisions",
    ),
    "reliability/25_sinks": (
        "act/test_outlet.py::test_a_receiver_is_known_by_its_name_wherever_it_stands",
        "act/test_delivery.py::test_what_waits_and_what_failed_is_in_the_metrics",
    ),
}
"""By the name of a case, as in ``benchmarks.cases.case.checks``: tests, below ``tests``."""
