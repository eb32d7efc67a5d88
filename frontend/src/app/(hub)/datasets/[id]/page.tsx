import { Suspense } from "react";
import { DatasetStudio } from "@/features/datasets/components/dataset-studio";

export default async function DatasetPage({ params }: { params: Promise<{ id: string }> }) {
  const { id } = await params;
  return (
    <Suspense>
      <DatasetStudio key={id} id={id} />
    </Suspense>
  );
}
