"use client";

import { useQuery } from "@tanstack/react-query";
import { Boxes, Compass, FolderInput, Plus, SearchX } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { useState } from "react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLParams } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { registry } from "../api";
import { readRegistryFilter, readSort, writeRegistryFilter } from "../lib/search-params";
import { ModelsTable } from "./models-table";
import { ModelsToolbar } from "./models-toolbar";

const TasksSection = dynamic(() => import("./tasks-section").then((module) => module.TasksSection), { ssr: false });
const RegisterDialog = dynamic(() => import("./register-dialog").then((module) => module.RegisterDialog), { ssr: false });
const ImportDialog = dynamic(() => import("./import-dialog").then((module) => module.ImportDialog), { ssr: false });

/** The registry: base models and adapters with what is known of each. */
export function Models() {
  const [dialog, setDialog] = useState<"register" | "import" | null>(null);
  const close = () => setDialog(null);
  return (
    <Page>
      <PageHeader
        title="Models"
        description="Base models and adapters of this hub, with their versions."
        actions={
          <>
            <Button variant="outline" onClick={() => setDialog("import")}>
              <FolderInput aria-hidden />
              Import a folder
            </Button>
            <Button onClick={() => setDialog("register")}>
              <Plus aria-hidden />
              Register
            </Button>
          </>
        }
      />
      <Registry onRegister={() => setDialog("register")} />
      <TasksSection title="Imports" kinds={["import"]} />
      {dialog === "register" ? <RegisterDialog onClose={close} /> : null}
      {dialog === "import" ? <ImportDialog onClose={close} /> : null}
    </Page>
  );
}

function Registry({ onRegister }: { onRegister: () => void }) {
  const { params, change } = useURLParams();
  const filter = readRegistryFilter(params);
  const { data, error, refetch, isFetching } = useQuery({ ...registry(filter), refetchInterval: useFallbackInterval() });
  const isFiltered = filter.text !== "" || filter.type !== null;
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the models" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the models" />
    );
  }
  if (data.items.length === 0 && !isFiltered) return <NoModels onRegister={onRegister} />;
  return (
    <>
      <ModelsToolbar
        filter={filter}
        onChange={(wanted) => change(writeRegistryFilter(wanted), { replaces: wanted.text !== undefined })}
      />
      {data.items.length ? (
        <ModelsTable
          models={data.items}
          sort={readSort(params)}
          onSortChange={({ id, direction }) => change({ sort: id, direction }, { replaces: true })}
        />
      ) : (
        <EmptyState
          icon={SearchX}
          title="No model matches"
          description="Try other words, or look at every kind."
          action={
            <Button variant="outline" onClick={() => change({ q: null, type: null })}>
              Show all models
            </Button>
          }
        />
      )}
    </>
  );
}

function NoModels({ onRegister }: { onRegister: () => void }) {
  return (
    <EmptyState
      icon={Boxes}
      title="No models yet"
      description="Download one that fits this machine, or register weights that you have."
      action={
        <Button asChild>
          <Link href="/discover">
            <Compass aria-hidden />
            Discover models
          </Link>
        </Button>
      }
      link={
        <Button variant="link" onClick={onRegister}>
          Register one
        </Button>
      }
    />
  );
}
