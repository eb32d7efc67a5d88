"use client";

/** Keeps the tab's event stream open while it is mounted, and tells components how it is. Mount it once, in the shell. */
import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { serviceURL } from "@/lib/api/endpoints";
import { applyEvents, refetchAll } from "@/lib/events/apply-events";
import { createBatch } from "@/lib/events/batch";
import { EventStream, type StreamStatus } from "@/lib/events/event-stream";
import type { HubEvent } from "@/lib/events/hub-event";
import { useSettings } from "@/lib/storage/settings";

type Listener = (event: HubEvent) => void;

interface EventContext {
  status: StreamStatus;
  reconnect: () => void;
  listen: (listener: Listener) => () => void;
}

const Context = createContext<EventContext>({
  status: "connecting",
  reconnect: () => {},
  listen: () => () => {},
});

/** At most four times a second, so that a fast trainer does not keep the page busy. */
const FLUSH_MS = 250;

export function EventProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [status, setStatus] = useState<StreamStatus>("connecting");
  const stream = useRef<EventStream>(null);
  const [listeners] = useState(() => new Set<Listener>());
  // A changed address in Settings is another stream.
  useSettings();
  const url = serviceURL("backend");

  useEffect(() => {
    const batch = createBatch<HubEvent>((events) => {
      applyEvents(client, events);
      for (const event of events) listeners.forEach((listener) => listener(event));
    }, FLUSH_MS);
    const current = new EventStream({
      onMessage(message) {
        if (message.type === "event") batch.add(message.event);
        else refetchAll(client);
      },
      onStatus: setStatus,
    });
    stream.current = current;
    current.start();
    return () => {
      current.stop();
      batch.stop();
      setStatus("connecting");
    };
  }, [client, listeners, url]);

  const value = useMemo(
    () => ({
      status,
      reconnect: () => stream.current?.reconnect(),
      listen(listener: Listener) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    }),
    [status, listeners],
  );
  return <Context value={value}>{children}</Context>;
}

export function useEventStream(): Pick<EventContext, "status" | "reconnect"> {
  return useContext(Context);
}

/** Calls `listener` for each event, for toasts and the like; data arrives in the query cache by itself. */
export function useHubEvents(listener: Listener): void {
  const { listen } = useContext(Context);
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => listen((event) => latest.current(event)), [listen]);
}

/** For `refetchInterval` of what the stream keeps fresh: off while it does, every five seconds while it cannot. */
export function useFallbackInterval(intervalMs = 5_000): number | false {
  const { status } = useContext(Context);
  return status === "polling" || status === "reconnecting" ? intervalMs : false;
}
