#!/usr/bin/env escript
%% Two BEAMs with Erlang distribution, not encrypted: erpc and send. Run by `messages.py`; prints one line of JSON.
-mode(compile).
main(["serve", Name, Cookie]) ->
    start(Name, Cookie),
    register(count, spawn(fun() -> idle() end)),
    io:format("ready~n"),
    timer:sleep(infinity);
main(["drive", Name, Cookie, Other, Questions, SmallBytes, Small, LargeBytes, Large]) ->
    start(Name, Cookie),
    Node = list_to_atom(Other),
    pong = net_adm:ping(Node),
    Data = binary:copy(<<"x">>, list_to_integer(SmallBytes)),
    Ask = fun() -> Data = erpc:call(Node, binary, copy, [Data]) end,
    [Ask() || _ <- lists:seq(1, 200)],
    Times = lists:sort([element(1, timer:tc(Ask)) || _ <- lists:seq(1, list_to_integer(Questions))]),
    P = fun(Share) -> lists:nth(round(length(Times) * Share), Times) / 1.0e6 end,
    Rate = one_way(Node, Data, list_to_integer(Small)),
    Bytes = list_to_integer(LargeBytes),
    LargeRate = one_way(Node, binary:copy(<<"x">>, Bytes), list_to_integer(Large)),
    io:format("{\"ask_p50\": ~p, \"ask_p99\": ~p, \"small\": ~p, \"large\": ~p}~n", [P(0.5), P(0.99), Rate, LargeRate * Bytes]).

start(Name, Cookie) ->
    {ok, _} = net_kernel:start([list_to_atom(Name), longnames]),
    erlang:set_cookie(node(), list_to_atom(Cookie)).

one_way(Node, Data, N) ->
    {count, Node} ! {begin_count, self(), N},
    receive begun -> ok end,
    [{count, Node} ! {data, Data} || _ <- lists:seq(1, N)],
    receive {counted, Micros} -> (N - 1) * 1.0e6 / Micros end.

idle() ->
    receive {begin_count, From, N} ->
        From ! begun,
        receive {data, _} -> count(From, erlang:monotonic_time(microsecond), N - 1) end
    end.

count(From, Since, 0) ->
    From ! {counted, erlang:monotonic_time(microsecond) - Since},
    idle();
count(From, Since, N) ->
    receive {data, _} -> count(From, Since, N - 1) end.
