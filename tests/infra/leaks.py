"""What a pool still holds that nobody will give back."""

from infra.teacher.pool import TeacherPool


def leaks(pool: TeacherPool) -> list[str]:
    """One line for each thing held; none when every call has ended and given its lease back."""
    shot = pool.snapshot()
    found = [f"{shot.queue} calls wait"] if shot.queue else []
    for end in shot.endpoints:
        held = end.leases_granted - end.leases_returned
        if held or end.in_flight or end.oldest_lease_seconds is not None:
            found.append(f"{end.url}: {held} leases of {end.leases_granted} not returned")
    return found
