"""An endpoint as a backend of many dialogues: requests in threads; environments and files stay with the caller's."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from fission_grpo.evaluation.asking import Decoding, Outcome, Request
from fission_grpo.evaluation.endpoint import Endpoint, EndpointSettings


class EndpointBackend:
    """Has as many requests under way as the settings allow."""

    def __init__(self, settings: EndpointSettings, decoding: Decoding) -> None:
        self.capacity = settings.concurrency
        self._endpoint = Endpoint(settings, decoding)
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="endpoint")
        self._under_way: dict[Future[Outcome], int] = {}

    def submit(self, key: int, request: Request) -> None:
        self._under_way[self._threads.submit(self._endpoint.answer, request)] = key

    def collect(self) -> list[tuple[int, Outcome]]:
        done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
        return [(self._under_way.pop(future), future.result()) for future in done]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._endpoint.close()
