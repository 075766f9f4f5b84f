"""A storage whose process is killed at a chosen method."""

from amplitude_cohort_s3.testing.faulty_storage import Death


class Dying:
    """A storage as a process sees it that is killed at its first call of a method."""

    def __init__(self, inner, method):
        self._inner = inner
        self._method = method
        self._is_dead = False

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        def call(*args, **options):
            self._is_dead |= name == self._method
            if self._is_dead:
                raise Death
            return method(*args, **options)

        return call
