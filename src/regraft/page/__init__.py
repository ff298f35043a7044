"""The report of a run or a sweep as one HTML file, which needs no network and no server."""
