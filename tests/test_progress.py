"""The bar of long commands leaves pipes alone."""

from tfface.progress import tracked


def test_everything_is_passed_on_and_pipes_stay_clean(capfd):
    assert list(tracked(range(3), "steps")) == [0, 1, 2]
    assert list(tracked((str(i) for i in range(2)), "steps", total=2)) == ["0", "1"]
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_what_is_counted(monkeypatch):
    import io

    from rich import console

    shown = io.StringIO()
    of_terminal = console.Console(file=shown, force_terminal=True)
    monkeypatch.setattr(console, "Console", lambda stderr: of_terminal)
    assert list(tracked(range(3), "steps")) == [0, 1, 2]
    assert "steps" in shown.getvalue()
